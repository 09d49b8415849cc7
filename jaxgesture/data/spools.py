"""Jobs: parts of the work of making a dataset, each done once, in any process.

A job gives clips. Its records go to spools, files of its own for every split, because a clip can
fail at its last frame, and what became of it goes to a small JSON file, written last and at once: a
job with that file is done and is not done again. One that failed for a reason that may pass, in the
system or by the death of its process, leaves no such file.
"""

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import building, clips, record_writer
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
        offset: where in the spool of its split its records begin, bytes.
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
        """The records.

        Raises:
            OSError: the spool is cut short.
        """
        with spool.open("rb") as stream:
            stream.seek(self.offset)
            for length in self.lengths:
                record = stream.read(length)
                if len(record) != length:
                    raise OSError(errno.EIO, "cut short", str(spool))
                yield record


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

    def spool(self, number: int, split: str) -> pathlib.Path:
        """The file of a job's records of a split."""
        return self._folder / f"{number:06d}.{split}.spool"

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

    def groups(self) -> dict[str, int]:
        """Clips of each split that the jobs before the first that is to be done have given."""
        found: dict[str, int] = {}
        number = 0
        while (outcome := self.outcome(number)) is not None:
            for clip in outcome.clips:
                found[clip.split] = found.get(clip.split, 0) + 1
            number += 1
        return found

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
        may_pass = False
        with _Spools(self, number) as spools, heard(said):
            found = job.clips()
            while True:
                place = job.name
                try:
                    clip = next(found, None)
                    if clip is None:
                        break
                    place = clip.place
                    done.append(self._spool(spools.of(clip.split), clip, progress))
                except Exception as error:
                    if building.disk_is_full(error) or _is_below(error, self._folder):
                        raise
                    # A decoder, librosa or NumPy can fail on one file in any way; the others go on.
                    may_pass = may_pass or not isinstance(error, UserError)
                    skipped.append((place, _reason(error)))
                    spools.cut(done)
            spools.keep()
        outcome = Outcome(done, skipped, list(dict.fromkeys(said)))
        if not may_pass:
            self._write(number, outcome)
        return outcome

    def _spool(
        self, stream: Any, clip: ClipData, progress: Callable[[int], Any] | None
    ) -> SpooledClip:
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

    def _write(self, number: int, outcome: Outcome) -> None:
        path = self._folder / f"{number:06d}.json"
        writing = self._folder / f"{number:06d}.{os.getpid()}.json.writing"
        text = json.dumps(dataclasses.asdict(outcome), ensure_ascii=False)
        writing.write_text(text, encoding="utf-8")
        writing.replace(path)


class _Spools:
    """The open spools of a job, a file for each split."""

    def __init__(self, spooler: Spooler, number: int):
        self._spooler, self._number = spooler, number
        self._streams: dict[str, Any] = {}

    def __enter__(self) -> "_Spools":
        return self

    def __exit__(self, *exception: object) -> None:
        for stream in self._streams.values():
            stream.close()

    def of(self, split: str) -> Any:
        """The spool of a split, open for writing."""
        if split not in self._streams:
            path = self._spooler.spool(self._number, split)
            # Another process that was left over may still write its own.
            self._streams[split] = path.with_suffix(f".{os.getpid()}.writing").open("wb")
        return self._streams[split]

    def cut(self, done: list[SpooledClip]) -> None:
        """Takes back what was written of a clip that failed."""
        for split, stream in self._streams.items():
            stream.seek(sum(sum(clip.lengths) for clip in done if clip.split == split))
            stream.truncate()

    def keep(self) -> None:
        """Gives the spools their names, when they are on the disk."""
        for split, stream in self._streams.items():
            stream.flush()
            if not stream.tell():
                os.unlink(stream.name)  # its clips have failed
                continue
            os.fsync(stream.fileno())
            os.replace(stream.name, self._spooler.spool(self._number, split))


def _is_below(error: Exception, folder: pathlib.Path) -> bool:
    name = getattr(error, "filename", None)
    return name is not None and str(name).startswith(str(folder))


def _reason(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename} cannot be read: {error.strerror}"
    text = " ".join(str(error).split())[:200]
    return f"it cannot be worked with ({type(error).__name__}: {text}); convert it to MP4 first"
