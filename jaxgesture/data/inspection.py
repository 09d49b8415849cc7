"""What is in a dataset, in lines of text and pictures to look at.

| picture           | of     | shows                                                         |
|-------------------|--------|---------------------------------------------------------------|
| contact-sheet.png | frames | a frame of clips spread over speakers and splits, with boxes  |
| pairs.png         | frames | a training batch of stage 1                                   |
| segments.png      | motion | a training batch of stage 2                                   |
| audio.png         | both   | the audio features of a clip; its waveform, where it is known |
| lengths.png       | both   | how long the clips are                                        |
"""

import collections
import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import UserError
from jaxgesture.core.types import NumpyBatch
from jaxgesture.data import audio, frames, inspection_pictures, motions, pipeline, poses
from jaxgesture.data.augment import AugmentConfig
from jaxgesture.data.batches import Batches
from jaxgesture.data.frames import ClipInfo, FrameDataset
from jaxgesture.data.motions import MotionDataset

SHEET_CLIPS = 24
PAIRS = 8
SEGMENTS, SEGMENT_FRAMES, HISTORY_FRAMES = 4, 80, 4
AUDIO_SECONDS = 20.0

# Of a clip so many frames are looked at for the one with the most boxes.
_CANDIDATES = 9
_LISTED = 5


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What is in a dataset.

    Attributes:
        lines: of text, to print.
        pictures: the PNG files that were written.
    """

    lines: list[str]
    pictures: list[pathlib.Path]


@dataclasses.dataclass(frozen=True)
class _Clip:
    """What the table and the histogram need of a clip; `has_boxes` is None for motion."""

    id: str
    speaker: str
    split: str
    frames: int
    seconds: float
    has_audio: bool
    has_boxes: bool | None


def inspect(
    directory: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    videos: str | os.PathLike[str] | None = None,
) -> Inspection:
    """Describes a dataset of frames or of motion features, and draws what is in it.

    Args:
        directory: the dataset's folder; nothing in it is changed.
        out: folder of the pictures; pictures of the same names in it are replaced. By default it
            lies beside the dataset, NAME-inspect.
        videos: the folder that a dataset of frames was prepared from, for the waveform of a clip;
            the presenter needs none.

    Returns:
        The lines of text and the pictures.

    Raises:
        UserError: the folder holds no finished dataset, a record is damaged, or `out` lies in the
            dataset or is a file.
    """
    folder = pathlib.Path(os.path.abspath(pathlib.Path(directory).expanduser()))
    dataset = _open(folder)
    target = _target(folder, out)
    if isinstance(dataset, FrameDataset):
        lines, pictures = _inspect_frames(dataset, target, videos)
    else:
        lines, pictures = _inspect_motion(dataset, target)
    return Inspection([*lines, "", "pictures", *(f"  {path}" for path in pictures)], pictures)


def _open(folder: pathlib.Path) -> FrameDataset | MotionDataset:
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; name one that prepare or extract wrote")
    if (folder / frames.INDEX).is_file():
        return FrameDataset(folder)
    if (folder / motions.INDEX).is_file():
        return MotionDataset(folder)
    raise UserError(
        f"{folder} holds neither {frames.INDEX} nor {motions.INDEX}: it is no finished dataset; "
        "name a folder that prepare or extract wrote, or run them again"
    )


def _target(folder: pathlib.Path, out: str | os.PathLike[str] | None) -> pathlib.Path:
    target = folder.with_name(f"{folder.name}-inspect") if out is None else pathlib.Path(out)
    target = target.expanduser()
    if target.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{target} lies in the dataset, which stays as it is; name another folder")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the folder {target} cannot be made ({error.strerror}); name another one"
        ) from error
    return target


def _inspect_frames(
    dataset: FrameDataset, out: pathlib.Path, videos: str | os.PathLike[str] | None
) -> tuple[list[str], list[pathlib.Path]]:
    infos = dataset.clips()
    clips = [
        _Clip(c.id, c.speaker, c.split, c.frames, c.seconds, c.has_audio, c.has_boxes)
        for c in infos
    ]
    about = {
        "frames": f"{dataset.size} x {dataset.size} pixels, {dataset.fps:g} a second",
        "audio features": f"{dataset.features}, {dataset.audio_size} columns",
        "written with": _versions(dataset.directory / frames.INDEX),
        "sha256": dataset.sha256,
    }
    lines = _description(dataset.directory, about, clips, dataset.report)
    sheet = out / "contact-sheet.png"
    tiles = [_tile(dataset, clip) for clip in spread(infos, SHEET_CLIPS)]
    title = f"{dataset.directory.name}: {len(tiles)} of {len(infos)} clips"
    inspection_pictures.contact_sheet(tiles, title, sheet)
    split = _first_split(dataset.splits)
    marked = any(clip.has_boxes for clip in dataset.clips(split))
    stream = pipeline.pairs(
        dataset,
        split=split,
        batch_size=PAIRS,
        seed=0,
        augment=AugmentConfig(),
        cache=False,
        boxes=marked,
    )
    pairs = out / "pairs.png"
    title = f"stage 1: batch 0 of the {split} split, augmented"
    inspection_pictures.pairs(_first(stream), title, pairs)
    sound = _audio_picture(dataset, clips, out, videos)
    pictures = [sheet, pairs, *sound, out / "lengths.png"]
    inspection_pictures.lengths(_seconds_by_split(clips), pictures[-1])
    return lines, pictures


def _inspect_motion(
    dataset: MotionDataset, out: pathlib.Path
) -> tuple[list[str], list[pathlib.Path]]:
    clips = [
        _Clip(c.id, c.speaker, c.split, c.frames, c.frames / dataset.fps, c.has_audio, None)
        for c in dataset.clips()
    ]
    about = {
        "motion features": f"{dataset.feature_size} numbers, {dataset.fps:g} a second",
        "audio features": f"{dataset.features}, {dataset.audio_size} columns",
        "of frames": dataset.frames_sha256,
        "with weights": dataset.weights_sha256,
        "written with": _versions(dataset.directory / motions.INDEX),
        "sha256": dataset.sha256,
    }
    pictures: list[pathlib.Path] = []
    remarks: list[str] = []
    heard = [clip for clip in clips if clip.has_audio]
    if heard:
        split = _first_split([clip.split for clip in heard])
        longest = max(clip.frames for clip in heard if clip.split == split)
        length = min(SEGMENT_FRAMES, longest)
        if length < SEGMENT_FRAMES:
            remarks.append(
                f"no {split} clip with sound has {SEGMENT_FRAMES} frames; the picture of "
                f"stage 2 shows segments of {length}"
            )
        stream = pipeline.segments(
            dataset,
            split=split,
            batch_size=SEGMENTS,
            seed=0,
            segment_frames=length,
            history_frames=HISTORY_FRAMES,
        )
        pictures.append(out / "segments.png")
        title = f"stage 2: batch 0 of the {split} split"
        batch = _first(stream)
        mean, std = dataset.motion_mean, dataset.motion_std
        if mean is None or std is None:
            mean, std = batch["motion"].mean((0, 1)), batch["motion"].std((0, 1))
        inspection_pictures.segments(batch, mean, std, title, pictures[-1])
    else:
        remarks.append("no clip has sound, so there is no batch of stage 2")
    pictures += [*_audio_picture(dataset, clips, out), out / "lengths.png"]
    inspection_pictures.lengths(_seconds_by_split(clips), pictures[-1])
    return _description(dataset.directory, about, clips, {"warnings": remarks}), pictures


def _first(batches: Batches) -> NumpyBatch:
    return next(batches(0))


def _first_split(splits: Sequence[str]) -> str:
    return "train" if "train" in splits else splits[0]


def _versions(index: pathlib.Path) -> str:
    """The versions that an index names; older ones name none."""
    found = json.loads(index.read_text(encoding="utf-8")).get("written_with")
    if not found:
        return "versions were not recorded"
    return ", ".join(f"{package} {version}" for package, version in found.items())


def _description(
    directory: pathlib.Path,
    about: Mapping[str, str],
    clips: Sequence[_Clip],
    report: Mapping[str, Any],
) -> list[str]:
    width = max(map(len, about))
    lines = [str(directory), *(f"  {name:<{width}}  {value}" for name, value in about.items())]
    lines += ["", *_table(clips)]
    notes: list[str] = []
    silent = [clip.id for clip in clips if not clip.has_audio]
    if silent:
        notes.append(f"{_named(silent, clips)} without sound: they serve stage 1 only")
    bare = [clip.id for clip in clips if clip.has_boxes is False]
    if bare:
        notes.append(
            f"{_named(bare, clips)} without boxes: they have no local loss and no figures of hands "
            "and lips"
        )
    notes += _report(report)
    return [*lines, "", *notes] if notes else lines


def _named(some: Sequence[str], clips: Sequence[_Clip]) -> str:
    names = ", ".join(some[:_LISTED]) + (", ..." if some[_LISTED:] else "")
    return f"{len(some)} of {len(clips)} clips ({names})"


def _report(report: Mapping[str, Any]) -> list[str]:
    skipped = dict(report.get("skipped", {}))  # datasets written clip by clip have no report
    width = max(map(len, skipped), default=0)
    lines = [f"skipped  {name:<{width}}  {reason}" for name, reason in skipped.items()]
    return lines + [f"warning: {text}" for text in report.get("warnings", ())]


def _table(clips: Sequence[_Clip]) -> list[str]:
    """Counts and hours of every speaker and split, and of all, in aligned columns."""
    groups: dict[tuple[str, str], list[_Clip]] = collections.defaultdict(list)
    for clip in clips:
        groups[clip.speaker or "-", clip.split].append(clip)
    named = {key: groups[key] for key in sorted(groups)}
    for split in sorted({clip.split for clip in clips}):
        named["all", split] = [clip for clip in clips if clip.split == split]
    rows = [["speaker", "split", "clips", "frames", "hours", "h:mm:ss", "with sound", "with boxes"]]
    for (speaker, split), part in named.items():
        seconds = sum(clip.seconds for clip in part)
        boxes = sum(bool(clip.has_boxes) for clip in part)
        rows.append(
            [
                speaker,
                split,
                str(len(part)),
                str(sum(clip.frames for clip in part)),
                f"{seconds / 3600:.3f}",
                _clock(seconds),
                str(sum(clip.has_audio for clip in part)),
                str(boxes),
            ]
        )
    if clips[0].has_boxes is None:
        rows = [row[:-1] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        words = [cell.ljust(w) for cell, w in zip(row[:2], widths, strict=False)]
        numbers = [cell.rjust(w) for cell, w in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join(words + numbers))
    rule = "-" * len(lines[0])
    lines.insert(1, rule)
    lines.insert(2 + len(groups), rule)
    return lines


def _clock(seconds: float) -> str:
    whole = math.floor(seconds + 0.5)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def spread(clips: Sequence[ClipInfo], limit: int) -> list[ClipInfo]:
    """At most `limit` clips, as evenly as possible from all speakers and splits, in their order."""
    groups: dict[tuple[str, str], list[ClipInfo]] = collections.defaultdict(list)
    for clip in clips:
        groups[clip.speaker, clip.split].append(clip)
    parts = [groups[key] for key in sorted(groups)]
    if len(parts) > limit:
        parts = [parts[i] for i in np.linspace(0, len(parts) - 1, limit).round().astype(int)]
    turns = sorted((turn, n) for n, part in enumerate(parts) for turn in range(len(part)))
    chosen = sorted((n, turn) for turn, n in turns[:limit])
    return [parts[n][turn] for n, turn in chosen]


def _tile(dataset: FrameDataset, clip: ClipInfo) -> inspection_pictures.Tile:
    """The frame of a clip with the most boxes, nearest to its middle."""
    middle = (clip.frames - 1) / 2
    numbers = np.linspace(0, clip.frames - 1, min(clip.frames, _CANDIDATES)).round().astype(int)
    if not clip.has_boxes:
        numbers = np.array([round(middle)])
    seen = {int(n): dataset.record(clip.split, clip.first + int(n)) for n in numbers}
    best = max(seen, key=lambda n: (np.isfinite(seen[n][1]).all(-1).sum(), -abs(n - middle)))
    image, boxes = seen[best]
    second = f"{best / dataset.fps:.1f} of {clip.seconds:.1f} s"
    return inspection_pictures.Tile(image, boxes, clip.id, f"{clip.split}, {second}")


def _audio_picture(
    dataset: FrameDataset | MotionDataset,
    clips: Sequence[_Clip],
    out: pathlib.Path,
    videos: str | os.PathLike[str] | None = None,
) -> list[pathlib.Path]:
    """The picture of the audio features of one clip; none where no clip has sound."""
    heard = [clip for clip in clips if clip.has_audio]
    if not heard:
        return []
    # The clip nearest to the length that is shown, the first of equals.
    clip = max(heard, key=lambda one: min(one.seconds, AUDIO_SECONDS))
    rows = _audio_rows(dataset, clip.id, math.ceil(AUDIO_SECONDS * dataset.fps))
    sound = None
    if isinstance(dataset, FrameDataset):
        sound = poses.sound_of(dataset.clip(clip.id), dataset.fps, videos)
    path = out / "audio.png"
    title = f"{clip.id} ({clip.split})"
    inspection_pictures.audio_features(rows, dataset.fps, title, path, sound)
    return [path]


def _audio_rows(
    dataset: FrameDataset | MotionDataset, clip_id: str, limit: int
) -> Float[np.ndarray, "t a"]:
    """At most `limit` rows of audio features of a clip; frames beyond them are not read."""
    if isinstance(dataset, MotionDataset):
        rows = dataset.audio(clip_id)[:limit]
    else:
        clip = dataset.clip(clip_id)
        numbers = range(clip.first, clip.first + min(clip.frames, limit))
        rows = np.stack([dataset.records.read(clip.split, i)["audio"] for i in numbers])
    if rows.shape[1] < audio.AUDIO_SIZE:
        raise UserError(
            f"{dataset.directory} has {rows.shape[1]} audio columns, at least {audio.AUDIO_SIZE} "
            "are expected; prepare it again"
        )
    return rows


def _seconds_by_split(clips: Sequence[_Clip]) -> dict[str, list[float]]:
    return {
        split: [clip.seconds for clip in clips if clip.split == split]
        for split in sorted({clip.split for clip in clips})
    }
