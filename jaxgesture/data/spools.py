"""Jobs: parts of the work of making a dataset, each done once, in any process.

A job gives clips. Its records go to a spool, a file of its own, because a clip can fail at its last
frame, and what became of it goes to a small JSON file, written last and at once: a job with that
file is done and is never done again.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import clips, record_writer
from jaxgesture.data.clips import ClipData


class Job(Protocol):
    """A part of the work; can be sent to another process.

    Attributes:
        name: what it works on, for messages.
    """

    @property
    def name(self) -> str:
        """What it works on, for messages."""
        ...

    def clips(self) -> Iterator[ClipData]:
        """Its clips, one after the other; the same ones in every process."""
        ...


@dataclasses.dataclass(frozen=True)
class GivenClip:
    """The job of a clip that is there already."""

    clip: ClipData

    @property
    def name(self) -> str:
        """The clip's source."""
        return self.clip.place

    def clips(self) -> Iterator[ClipData]:
        """The clip."""
        yield self.clip


@dataclasses.dataclass(frozen=True)
class SpooledClip:
    """A clip whose records lie in a spool.

    Attributes:
        offset: where in the spool its records begin, bytes.
        lengths: of its records, bytes.
        sha256: of its records, see `record_writer.group_digest`.
    """

    id: str
    split: str
    speaker: str
    source: str
    start: float
    has_audio: bool
    has_boxes: bool
    offset: int
    lengths: list[int]
    sha256: str

    def records(self, spool: pathlib.Path) -> Iterator[bytes]:
        """The records."""
        with spool.open("rb") as stream:
            stream.seek(self.offset)
            for length in self.lengths:
                yield stream.read(length)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        clips: those that are in its spool, in order.
        skipped: what could not be used, and why.
        warnings: what was usable only in part.
    """

    clips: list[SpooledClip]
    skipped: list[tuple[str, str]]
    warnings: list[str]

    @property
    def frames(self) -> int:
        """Frames of all clips."""
        return sum(len(clip.lengths) for clip in self.clips)


@contextlib.contextmanager
def heard(texts: list[str]) -> Iterator[None]:
    """Collects `DataWarning`s instead of printing them; others go on as usual."""
    shown = warnings.showwarning

    def show(message: Any, category: type[Warning], *args: Any, **kwargs: Any) -> None:
        if issubclass(category, DataWarning):
            texts.append(str(message))
        else:
            shown(message, category, *args, **kwargs)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = show
        yield


class Spooler:
    """Does jobs and leaves their spools and outcomes in a folder.

    Args:
        folder: where to; it exists.
        settings: of the dataset, see `clips.records`.
    """

    def __init__(self, folder: pathlib.Path, settings: Mapping[str, Any]):
        self._folder, self._settings = folder, dict(settings)
        self._encode: record_writer.RecordEncoder | None = None

    @property
    def fps(self) -> float:
        """Frames a second of the dataset."""
        return self._settings["fps"]

    def __getstate__(self) -> dict[str, Any]:
        """Without the encoder, which every process makes for itself."""
        return {"_folder": self._folder, "_settings": self._settings, "_encode": None}

    def spool(self, number: int) -> pathlib.Path:
        """The file of a job's records."""
        return self._folder / f"{number:06d}.spool"

    def outcome(self, number: int) -> Outcome | None:
        """What became of a job; None if it is still to be done."""
        path = self._folder / f"{number:06d}.json"
        if not path.is_file():
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
        return Outcome(
            [SpooledClip(**clip) for clip in found["clips"]],
            [(name, reason) for name, reason in found["skipped"]],
            found["warnings"],
        )

    def give_up(self, number: int, job: Job, reason: str) -> Outcome:
        """Leaves the outcome of a job that cannot be done."""
        return self._write(number, Outcome([], [(job.name, reason)], []))

    def run(self, number: int, job: Job, progress: Callable[[int], Any] | None) -> Outcome:
        """Does a job, whose clips go in whole or not at all.

        Args:
            number: of the job.
            job: gives the clips.
            progress: called with 1 after every frame.

        Raises:
            OSError: the spool cannot be written.
        """
        if self._encode is None:
            s = self._settings
            features = clips.features(s["size"], s["audio_size"], s["image_format"])
            self._encode = record_writer.RecordEncoder(features)
        done: list[SpooledClip] = []
        skipped: list[tuple[str, str]] = []
        said: list[str] = []
        # Another process that was left over may still write its own.
        writing = self._folder / f"{number:06d}.{os.getpid()}.writing"
        with writing.open("wb") as stream, heard(said):
            found = job.clips()
            while True:
                place = job.name
                try:
                    clip = next(found, None)
                    if clip is None:
                        break
                    place = clip.place
                    done.append(self._spool(stream, clip, progress))
                except (UserError, OSError) as error:
                    if record_writer.disk_is_full(error) or _is_below(error, self._folder):
                        raise
                    skipped.append((place, _reason(error)))
                    stream.seek(sum(sum(clip.lengths) for clip in done))
                    stream.truncate()
        writing.replace(self.spool(number))
        return self._write(number, Outcome(done, skipped, list(dict.fromkeys(said))))

    def _spool(
        self, stream: Any, clip: ClipData, progress: Callable[[int], Any] | None
    ) -> SpooledClip:
        assert self._encode is not None
        offset, lengths = stream.tell(), []

        def written() -> Iterator[bytes]:
            assert self._encode is not None
            for record in clips.records(clip, self._settings, self._encode):
                stream.write(record)
                lengths.append(len(record))
                yield record
                if progress is not None:
                    progress(1)

        digest = record_writer.group_digest(written())
        stream.flush()
        places = clip.placed_boxes()[: len(lengths)]
        return SpooledClip(
            id=clip.id,
            split=clip.split,
            speaker=clip.speaker,
            source=clip.source,
            start=round(clip.start, 6),
            has_audio=clip.audio is not None,
            has_boxes=bool(np.isfinite(places).any()),
            offset=offset,
            lengths=lengths,
            sha256=digest,
        )

    def _write(self, number: int, outcome: Outcome) -> Outcome:
        path = self._folder / f"{number:06d}.json"
        writing = self._folder / f"{number:06d}.{os.getpid()}.json.writing"
        text = json.dumps(dataclasses.asdict(outcome), ensure_ascii=False)
        writing.write_text(text, encoding="utf-8")
        writing.replace(path)
        return outcome


def _is_below(error: Exception, folder: pathlib.Path) -> bool:
    name = getattr(error, "filename", None)
    return name is not None and str(name).startswith(str(folder))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename} cannot be read: {error.strerror}"
    return str(error)
