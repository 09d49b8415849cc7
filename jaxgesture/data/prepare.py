"""From a folder of videos, or the synthetic presenter, to a frame dataset.

Times are put on the grid of output frames: a part of a file starts and ends at a whole frame, and
audio features and boxes are made once for the whole file and sliced by the same frame numbers.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from jaxgesture.core.errors import UserError
from jaxgesture.data import audio, boxes, landmarks, sound, sources, video
from jaxgesture.data.frame_writer import ClipData, frame_settings
from jaxgesture.data.image import Crop, crop_box
from jaxgesture.data.prepare_report import PrepareReport, collected_warnings, kept, write

# The audio features come at this rate; frames at any other one cannot be paired with them.
_AUDIO_FPS = 25.0
# Sound or landmarks this much shorter than the pictures (frames) are worth a warning.
_END_SLACK = 5


@dataclasses.dataclass(frozen=True)
class _File:
    """A readable file: the part that is used, in output frames, and where it is cut in two.

    `view` is what is kept of its pictures: x0, y0, x1, y1 in pixels as shown.
    """

    path: pathlib.Path
    name: str
    clip_id: str
    speaker: str
    start: int
    stop: int
    cut: int | None
    split: str
    info: video.VideoInfo
    landmarks: pathlib.Path | None
    view: tuple[float, float, float, float]


def prepare_folder(
    videos: str | os.PathLike | Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    size: int = 256,
    fps: float = _AUDIO_FPS,
    crop: Crop = "center",
    validation: str | Sequence[str] = "hash:0.1",
    segments: Mapping[str, tuple[float, float]] | None = None,
    image_format: str = "jpeg",
    quality: int = 95,
    progress: bool = True,
) -> PrepareReport:
    """Makes a frame dataset of videos; bad files are listed and the rest is used.

    The frames of NAME.mp4 get boxes of hands, face and lips if NAME.landmarks.npz lies beside it
    (see `landmarks` for its format).

    Args:
        videos: a folder (searched with its subfolders), a file, or a list of files.
        out: folder of the dataset. One that the same call made is kept as it is.
        size: side of the square frames, pixels.
        fps: frames a second. Audio features exist for 25 only.
        crop: "center", "left", "right", (x, y, side) in pixels, or None; see `video.read_frames`.
        validation: "hash:0.1" (a tenth of the files, by their content), "last:4.0" (the last 4 s
            of each file that is at least twice as long), "none", or a list of file names.
        segments: file name -> (start, end) in seconds of the part to use; others are used whole.
        image_format: "jpeg" or "png".
        quality: of JPEG, 1 to 100.
        progress: show a progress bar.

    Returns:
        What was used, what was left out and why, and counted warnings.

    Raises:
        UserError: nothing was usable, `out` holds something else, or an argument is wrong.
    """
    last = sources.last_seconds(validation)
    settings = frame_settings(size, fps, audio.AUDIO_SIZE, image_format, quality)
    found = sources.find_videos(videos)
    segments = dict(segments or {})
    listed = () if isinstance(validation, str) else tuple(validation)
    unknown = sorted({*segments, *listed} - set(found))
    if unknown:
        raise UserError(f"no such file among the videos: {', '.join(unknown)}")
    report = PrepareReport(pathlib.Path(out).expanduser())
    hashes: dict[str, str] = {}
    for name, path in found.items():
        try:
            hashes[name] = sources.file_sha256(path)
        except OSError as error:
            report.skipped[name] = f"{path} cannot be read: {error.strerror}"
    marked = {name: path for name in hashes if (path := landmarks.beside(found[name]))}
    arguments = {
        "made_by": "prepare_folder",
        "crop": list(crop) if isinstance(crop, tuple) else crop,
        "validation": validation if isinstance(validation, str) else sorted(listed),
        "segments": {name: list(part) for name, part in sorted(segments.items())},
        "files": hashes,
        "landmarks": {name: _landmarks_sha256(path) for name, path in marked.items()},
    }
    if kept(report, settings, arguments):
        return report
    files: list[_File] = []
    ids = sources.clip_ids(found)
    with collected_warnings(report):
        for name, sha256 in hashes.items():
            held_out = sources.is_validation(validation, name, sha256)
            split = "validation" if held_out else "train"
            try:
                part = segments.get(name)
                files.append(_plan(found[name], name, ids[name], split, part, last, fps, crop))
            except (UserError, OSError) as error:
                report.skipped[name] = str(error)
    _warn_before(report, files, last, fps)
    clips = _clips(files, report, size, fps, crop)
    total = sum(file.stop - file.start for file in files)
    write(report, clips, settings, arguments, total, progress)
    return report


def _landmarks_sha256(path: pathlib.Path) -> str:
    try:
        return sources.file_sha256(path)
    except OSError:
        # What is wrong with it is said when it is used.
        return "unreadable"


def _plan(
    path: pathlib.Path,
    name: str,
    clip_id: str,
    split: str,
    part: tuple[float, float] | None,
    last: float | None,
    fps: float,
    crop: Crop,
) -> _File:
    info = video.probe(path)
    frames = _frame_count(info, fps)
    start, stop = 0, frames
    if part is not None:
        start, stop = round(part[0] * fps), min(round(part[1] * fps), frames)
        if not 0 <= start < stop:
            raise UserError(
                f"{name} has no part {part[0]}-{part[1]} s, it has {info.seconds:.2f} s"
            )
    cut = None
    if last is not None:
        tail = round(last * fps)
        if stop - start >= 2 * tail:
            cut = stop - tail
    folder = pathlib.PurePosixPath(name).parts[0]
    speaker = folder if folder != name else clip_id
    view = crop_box(info.width, info.height, crop)
    marks = landmarks.beside(path)
    return _File(path, name, clip_id, speaker, start, stop, cut, split, info, marks, view)


def _frame_count(info: video.VideoInfo, fps: float) -> int:
    return math.floor(info.seconds * fps + 0.5)


def _counted(part: Sequence[_File], files: Sequence[_File]) -> str:
    verb = "has" if len(part) == 1 else "have"
    return f"{len(part)} of {len(files)} clips {verb}"


def _warn_before(
    report: PrepareReport, files: Sequence[_File], last: float | None, fps: float
) -> None:
    mute = [file for file in files if not file.info.has_audio]
    if fps != _AUDIO_FPS:
        report.warnings.append(
            f"audio features exist at {_AUDIO_FPS:g} frames a second only, these are {fps:g}: "
            f"all {len(files)} clips serve stage 1 only"
        )
    elif mute:
        names = ", ".join(file.name for file in mute[:5]) + (" ..." if mute[5:] else "")
        report.warnings.append(
            f"{_counted(mute, files)} no sound: they serve stage 1 only ({names})"
        )
    short = [file for file in files if last is not None and file.cut is None]
    if short:
        report.warnings.append(
            f"{_counted(short, files)} less than {2 * (last or 0):g} s: used for training whole"
        )


def _clips(
    files: Sequence[_File], report: PrepareReport, size: int, fps: float, crop: Crop
) -> Iterator[ClipData]:
    unusable: list[str] = []
    for file in files:
        rows = _audio_rows(file, fps, report)
        places = _box_rows(file, fps, report, unusable)
        cut = file.stop if file.cut is None else file.cut
        parts = [(file.clip_id, file.split, file.start, cut)]
        if file.cut is not None:
            parts.append((f"{file.clip_id}.last", "validation", cut, file.stop))
        for clip_id, split, start, stop in parts:
            # The container's length is a promise: the last part is read to the true end.
            to_end = stop == _frame_count(file.info, fps)
            last = None if to_end else stop
            frames = video.read_frames(
                file.path,
                fps=fps,
                size=size,
                crop=crop,
                start=start / fps,
                end=None if to_end else stop / fps,
            )
            yield ClipData(
                id=clip_id,
                split=split,
                frames=frames,
                audio=None if rows is None else rows[start:last],
                speaker=file.speaker,
                source=file.name,
                start=start / fps,
                boxes=None if places is None else places[start:last],
            )
    if unusable:
        total = sum(file.landmarks is not None for file in files)
        reasons = "; ".join(unusable[:3]) + ("; ..." if unusable[3:] else "")
        report.warnings.append(
            f"{len(unusable)} of {total} files of landmarks cannot be used, their clips have no "
            f"boxes: {reasons}"
        )


def _box_rows(
    file: _File, fps: float, report: PrepareReport, unusable: list[str]
) -> np.ndarray | None:
    """The boxes in every frame of the whole file; None without landmarks.

    Why a file of landmarks cannot be used is added to `unusable`.
    """
    if file.landmarks is None:
        return None
    try:
        found = landmarks.read(file.landmarks)
    except UserError as error:
        unusable.append(str(error))
        return None
    frames = _frame_count(file.info, fps)
    _warn_of_end(report, file, "landmarks end", found.seconds, fps, "no boxes there")
    placed = boxes.within(found.at(fps, frames), file.view)
    if not np.isfinite(placed).any():
        unusable.append(f"{file.landmarks}: no box lies in the part of the picture that is kept")
    return placed


def _audio_rows(file: _File, fps: float, report: PrepareReport) -> np.ndarray | None:
    """The audio features of the whole file, at least one row for every frame; None without."""
    if not file.info.has_audio or fps != _AUDIO_FPS:
        return None
    try:
        samples, rate = sound.read_audio(file.path)
    except UserError as error:
        report.warnings.append(f"{error}; {file.name} serves stage 1 only")
        return None
    frames = _frame_count(file.info, fps)
    _warn_of_end(report, file, "sound ends", len(samples) / rate, fps, "taken as silence")
    return audio.features(samples, rate, frames=max(frames, audio.frame_count(len(samples), rate)))


def _warn_of_end(
    report: PrepareReport, file: _File, what: str, end: float, fps: float, outcome: str
) -> None:
    missing = _frame_count(file.info, fps) / fps - end
    if missing * fps > _END_SLACK:
        report.warnings.append(
            f"{file.name}: the {what} {missing:.2f} s before the pictures; {outcome}"
        )


def prepare_presenter(
    out: str | os.PathLike,
    *,
    identities: int | Sequence[int] = 4,
    clips: int = 6,
    seconds: float = 8.0,
    size: int = 64,
    seed: int = 0,
    validation_clips: int = 1,
    validation_identities: Sequence[int] = (),
    image_format: str = "jpeg",
    quality: int = 95,
    progress: bool = True,
) -> PrepareReport:
    """Makes a frame dataset of the synthetic presenter. No two clips say the same.

    Args:
        out: folder of the dataset. One that the same call made is kept as it is.
        identities: how many identities are trained on (the first ones), or which.
        clips: clips of every identity.
        seconds: length of a clip.
        size: side of the frames, pixels, 32 to 512.
        seed: another seed, other performances.
        validation_clips: of the clips of every identity, so many are for validation.
        validation_identities: more identities, for validation only, each with `validation_clips`
            clips, or one.
        image_format: "jpeg" or "png".
        quality: of JPEG, 1 to 100.
        progress: show a progress bar.

    Raises:
        UserError: `out` holds something else, or an argument is wrong.
    """
    known = tuple(range(identities)) if isinstance(identities, int) else tuple(identities)
    held_out = tuple(validation_identities)
    if not 0 < seconds < math.inf:
        raise UserError(f"clips of {seconds} s cannot be made; choose a number above 0")
    if not known or clips < 1 or not 0 <= validation_clips < clips:
        raise UserError(
            f"{len(known)} identities with {clips} clips, {validation_clips} of them for "
            "validation: at least one identity and one training clip are needed"
        )
    if len({*known, *held_out}) != len(known) + len(held_out):
        raise UserError("an identity is named twice; training and validation ones must differ")
    arguments = {
        "made_by": "prepare_presenter",
        "identities": list(known),
        "clips": clips,
        "seconds": seconds,
        "seed": seed,
        "validation_clips": validation_clips,
        "validation_identities": list(held_out),
    }
    settings = frame_settings(size, _AUDIO_FPS, audio.AUDIO_SIZE, image_format, quality)
    report = PrepareReport(pathlib.Path(out).expanduser())
    if kept(report, settings, arguments):
        return report

    def performances() -> Iterator[ClipData]:
        from jaxgesture.data import presenter

        for identity in (*known, *held_out):
            takes = max(validation_clips, 1) if identity in held_out else clips
            for take in range(takes):
                validation = identity in held_out or take >= clips - validation_clips
                # One number per clip of any identity, so that no two clips share a performance.
                take_seed = (seed * 1000 + identity) * 1000 + take
                play = presenter.perform(take_seed, identity, seconds, size, int(_AUDIO_FPS))
                rows = audio.features(play.audio, play.sample_rate, frames=len(play.frames))
                places = np.stack([play.boxes[part] for part in boxes.PARTS], axis=1)
                yield ClipData(
                    id=f"identity{identity:02d}-take{take:03d}",
                    split="validation" if validation else "train",
                    frames=play.frames,
                    audio=rows,
                    speaker=f"identity{identity:02d}",
                    source=f"presenter seed {take_seed} identity {identity}",
                    boxes=boxes.within(places, (0, 0, size, size)),
                )

    count = len(known) * clips + len(held_out) * max(validation_clips, 1)
    total = round(count * seconds * _AUDIO_FPS)
    write(report, performances(), settings, arguments, total, progress)
    return report
