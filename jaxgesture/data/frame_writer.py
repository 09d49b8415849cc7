"""Writing a frame dataset: jobs in, one record a frame out, in order, whoever does the jobs."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jaxgesture.core.errors import UserError
from jaxgesture.data import clips as clip_records
from jaxgesture.data import record_writer, records, workers
from jaxgesture.data.audio import BASELINE
from jaxgesture.data.building import JOBS, building
from jaxgesture.data.clips import ClipData
from jaxgesture.data.frames import FORMAT, INDEX, KIND, ClipInfo, FrameDataset
from jaxgesture.data.spools import GivenClip, Job, Outcome, SpooledClip, Spooler

__all__ = ["ClipData", "existing_frames", "frame_settings", "write_frames"]

_NAME = "jaxgesture_frames"
_LARGEST, _FASTEST = 4096, 1000
_DESCRIPTION = "Frames of speakers with their rows of audio features."


def frame_settings(
    size: int,
    fps: float,
    audio_size: int,
    image_format: str,
    quality: int,
    features: str = BASELINE,
) -> dict[str, Any]:
    """The settings that every frame dataset records, checked.

    Raises:
        UserError: a setting is out of range.
    """
    if image_format not in ("jpeg", "png"):
        raise UserError(f"image format {image_format!r} is unknown; use 'jpeg' or 'png'")
    if not (1 <= size <= _LARGEST and 0 < fps <= _FASTEST and 1 <= quality <= 100):
        raise UserError(
            f"size {size}, fps {fps:g} and quality {quality} must be positive, size at most "
            f"{_LARGEST}, fps at most {_FASTEST} and quality at most 100"
        )
    return {
        "size": size,
        "fps": float(fps),
        "features": features,
        "audio_size": audio_size,
        "image_format": image_format,
        "quality": quality if image_format == "jpeg" else None,
    }


def existing_frames(
    directory: str | os.PathLike, settings: Mapping[str, Any], arguments: Mapping[str, Any]
) -> FrameDataset | None:
    """The finished dataset of the same settings and arguments, None where there is nothing yet.

    Raises:
        UserError: the folder holds something else.
    """
    found = records.finished(directory, INDEX, KIND, {**settings, **arguments}, FORMAT)
    return FrameDataset(directory) if found else None


def write_frames(
    directory: str | os.PathLike,
    clips: Iterable[ClipData] | None = None,
    *,
    size: int,
    fps: float = 25.0,
    audio_size: int = 35,
    features: str = BASELINE,
    image_format: str = "jpeg",
    quality: int = 95,
    arguments: Mapping[str, Any] | None = None,
    jobs: Sequence[Job] = (),
    workers: int = 0,
    on_error: Callable[[str, str], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
    progress: Callable[[int], Any] | None = None,
    report: Callable[[], Mapping[str, Any]] | None = None,
    card: Mapping[str, Any] | None = None,
    shard_bytes: int = record_writer.SHARD_BYTES,
) -> FrameDataset:
    """Writes a frame dataset, or keeps the finished one that is there.

    With `arguments`, a call that was stopped, even by a kill, is gone on with by the same call:
    what it had done of the jobs is kept. The records are the same, byte for byte, however often it
    was stopped and whatever number of processes did the jobs.

    Args:
        directory: its folder; it appears when everything is written.
        clips: what to write, consumed clip by clip and frame by frame. Not touched where a
            finished dataset of the same arguments is found.
        size: side of the square frames, pixels.
        fps: frames a second of all clips.
        audio_size: columns of the audio features.
        features: name of the audio features.
        image_format: "jpeg" or "png".
        quality: of JPEG, 1 to 100.
        arguments: what the clips were made from, as JSON values; a finished dataset is kept only
            if these and the settings above are the same.
        jobs: give the clips instead; done once each, in worker processes if there are any.
        workers: processes for the jobs; 0 does them in this one.
        on_error: called with the name of a clip or job that raises `UserError` or `OSError`, and
            the reason: it is left out and the rest is written. Without it an error is raised.
        on_warning: called with what is usable only in part. Without it a `DataWarning` is given.
        progress: called with a number of frames after they are made.
        report: called when all clips are written; its JSON values are kept as `report`.
        card: more of what `dataset_card.json` says.
        shard_bytes: a record file is closed behind the clip with which it holds this many bytes.

    Raises:
        UserError: the folder holds another dataset, no clip was usable, two clips share an id, or
            a clip's frames, audio features and boxes do not fit.
    """
    if clips is not None and jobs:
        raise UserError("give clips or jobs, not both")
    settings = frame_settings(size, fps, audio_size, image_format, quality, features)
    existing = existing_frames(directory, settings, arguments or {})
    if existing is not None:
        return existing
    known = {**settings, **(arguments or {})}
    # Without arguments nothing says that the next call makes the same.
    with building(directory, known, keep=bool(arguments)) as folder:
        spooler = Spooler(_job_folder(folder), {**settings, "quality": quality})
        writer = record_writer.RecordWriter(
            folder,
            _NAME,
            clip_records.features(size, audio_size, image_format),
            shard_bytes,
            spooler.groups(),
        )
        assembly = _Assembly(writer, spooler, on_error, on_warning)
        try:
            for number, clip in enumerate(clips or ()):
                job = GivenClip(clip)
                done = spooler.outcome(number)
                assembly.add(number, job, done or spooler.run(number, job, progress), progress)
            assembly.add_all(jobs, workers, progress)
        except BaseException:
            writer.close()
            raise
        infos = assembly.infos
        if not infos:
            raise UserError(f"no clip was usable, so {directory} was not written")
        said = dict(report()) if report is not None else {}
        index = {
            "kind": KIND,
            "format": FORMAT,
            **settings,
            "arguments": known,
            "report": said,
            "clips": [dataclasses.asdict(info) for info in infos],
        }
        about = {**_card(settings, infos), **(card or {}), "arguments": known, "report": said}
        writer.finish(INDEX, index, _DESCRIPTION, about)
    return FrameDataset(directory)


def _job_folder(folder: pathlib.Path) -> pathlib.Path:
    jobs = folder / JOBS
    jobs.mkdir(exist_ok=True)
    for half in jobs.glob("*.writing"):
        half.unlink()
    return jobs


class _Assembly:
    """Puts the outcomes of jobs, as they come, behind each other into the record files."""

    def __init__(
        self,
        writer: record_writer.RecordWriter,
        spooler: Spooler,
        on_error: Callable[[str, str], None] | None,
        on_warning: Callable[[str], None] | None,
    ):
        self.infos: list[ClipInfo] = []
        self._writer, self._spooler = writer, spooler
        self._on_error, self._on_warning = on_error, on_warning
        self._ids: set[str] = set()
        self._count = 0
        # Spools that an open record file may still need, with their split and last group.
        self._needed: dict[pathlib.Path, tuple[str, int]] = {}

    def add_all(
        self, jobs: Sequence[Job], processes: int, progress: Callable[[int], Any] | None
    ) -> None:
        if not jobs:
            return
        done = [n for n in range(len(jobs)) if self._spooler.outcome(n) is not None]
        if done and progress is not None:
            progress(sum((self._spooler.outcome(n) or Outcome([], [], [])).frames for n in done))
        found = workers.outcomes(jobs, self._spooler, processes, progress)
        for number, (job, outcome) in enumerate(zip(jobs, found, strict=True)):
            self.add(number, job, outcome, progress)

    def add(
        self,
        number: int,
        job: Job,
        outcome: Outcome,
        progress: Callable[[int], Any] | None,
    ) -> None:
        for name, reason in outcome.skipped:
            if self._on_error is None:
                raise UserError(reason)
            self._on_error(name, reason)
        for text in outcome.warnings:
            self._warn(text)
        splits = {clip.split for clip in outcome.clips}
        if not all(self._is_there(number, outcome, split) for split in splits):
            # Lost with the memory of a machine that stopped, or a record file was.
            outcome = self._spooler.run(number, job, progress)
        for clip in outcome.clips:
            self._add(clip, self._spooler.spool(number, clip.split))
        for split in splits:
            self._needed[self._spooler.spool(number, split)] = (split, self._writer.groups(split))
        for path, (split, groups) in list(self._needed.items()):
            if self._writer.closed_groups(split) >= groups:
                path.unlink(missing_ok=True)
                del self._needed[path]

    def _is_there(self, number: int, outcome: Outcome, split: str) -> bool:
        """Whether a job's records of a split are in closed files, or all in its spool."""
        clips = [clip for clip in outcome.clips if clip.split == split]
        if self._writer.groups(split) + len(clips) <= self._writer.closed_groups(split):
            return True
        spool = self._spooler.spool(number, split)
        size = sum(sum(clip.lengths) for clip in clips)
        return spool.is_file() and spool.stat().st_size == size

    def _add(self, clip: SpooledClip, spool: pathlib.Path) -> None:
        if clip.id in self._ids:
            raise UserError(f"two clips are called {clip.id!r}; rename one of the sources")
        self._ids.add(clip.id)
        frames = len(clip.lengths)
        first = self._writer.add(clip.split, frames, clip.sha256, lambda: clip.records(spool))
        self.infos.append(
            ClipInfo(
                id=clip.id,
                split=clip.split,
                first=first,
                frames=frames,
                has_audio=clip.has_audio,
                has_boxes=clip.has_boxes,
                speaker=clip.speaker,
                source=clip.source,
                start=clip.start,
                seconds=round(frames / self._spooler.fps, 6),
            )
        )

    def _warn(self, text: str) -> None:
        if self._on_warning is not None:
            self._on_warning(text)
        else:
            import warnings

            from jaxgesture.core.errors import DataWarning

            warnings.warn(text, DataWarning, stacklevel=4)


def _card(settings: Mapping[str, Any], infos: Sequence[ClipInfo]) -> dict[str, Any]:
    """What is in it, for people: sizes, and clips, frames and hours by split and by speaker."""

    def summary(part: Sequence[ClipInfo]) -> dict[str, Any]:
        return {
            "clips": len(part),
            "frames": sum(info.frames for info in part),
            "hours": round(sum(info.seconds for info in part) / 3600, 4),
            "clips_with_sound": sum(info.has_audio for info in part),
            "clips_with_boxes": sum(info.has_boxes for info in part),
        }

    def by(key: str) -> dict[str, Any]:
        names = sorted({getattr(info, key) for info in infos})
        return {n: summary([info for info in infos if getattr(info, key) == n]) for n in names}

    return {
        **settings,
        "all": summary(infos),
        "splits": by("split"),
        "speakers": by("speaker"),
        "sources": sorted({info.source for info in infos if info.source}),
    }
