"""From anybody's folder of videos to a frame dataset."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Unpack

from jaxgesture.core.errors import UserError
from jaxgesture.data import cuts, segments, sound, sources, spools
from jaxgesture.data.cuts import Cut, Media
from jaxgesture.data.image import Crop, crop_box
from jaxgesture.data.prepare_form import AUDIO_FPS, FormKeywords, FrameForm
from jaxgesture.data.prepare_input import VideoInput
from jaxgesture.data.prepare_report import PrepareReport, kept, write
from jaxgesture.data.segments import Segment

# Pictures that are made this many times larger, or come this much rarer than the frames, are told.
_ENLARGED, _RARE = 2.0, 0.6


@dataclasses.dataclass(frozen=True)
class _Rules:
    """How a file is cut."""

    validation: str | tuple[str, ...]
    crop: Crop
    fps: float
    longest: int


def prepare_folder(
    videos: str | os.PathLike | Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    crop: Crop = "center",
    validation: str | Sequence[str] = "hash:0.1",
    segments: str | os.PathLike | Mapping[str, Sequence[Segment]] | None = None,
    max_seconds: float = 60.0,
    **form: Unpack[FormKeywords],
) -> PrepareReport:
    """Makes a frame dataset of videos; bad files are listed and the rest is used.

    The sound of NAME.mp4 is taken from NAME.wav (or .flac, .m4a, ...) where that lies beside it,
    and its frames get boxes of hands, face and lips if NAME.landmarks.npz does (see `landmarks`).

    Args:
        videos: a folder (searched with its subfolders), a file, or a list of files.
        out: folder of the dataset. One that the same call made is kept as it is, one that it
            began is gone on with.
        crop: "center", "left", "right", "top", "bottom", (x, y, side) in pixels of the picture as
            shown, or "landmarks": the square that keeps both hands and the face in view, chosen
            for every clip.
        validation: "hash:0.1" (a tenth of the files, by their content), "last:4.0" (the last 4 s
            of each file that is at least twice as long), "none", or a list of file names.
        segments: the parts to use, a CSV file (see `segments.read_segments`) or file name ->
            parts; files without any are left out. None uses every file whole.
        max_seconds: longer parts are divided evenly into clips of at most this length.
        **form: size=256, fps=25.0, extractor=None, image_format="jpeg", quality=95, workers=0,
            progress=True: what the clips are made to, and how the work is done, see `FrameForm`.

    Returns:
        What was used, what was left out and why, and counted warnings.

    Raises:
        UserError: nothing was usable, `out` holds something else, or an argument is wrong.
    """
    target = FrameForm(**form)
    sources.last_seconds(validation)
    if isinstance(crop, str) and crop != "landmarks":
        crop_box(1, 1, crop)
    settings = target.settings()
    longest = cuts.longest_clip(max_seconds, target.fps)
    found = sources.find_videos(videos)
    listed = () if isinstance(validation, str) else tuple(validation)
    parts = _parts(segments, found)
    unknown = sorted({*(parts or ()), *listed} - set(found))
    if unknown:
        raise UserError(f"no such file among the videos: {', '.join(unknown)}")
    report = PrepareReport(pathlib.Path(out).expanduser())
    chosen = found if parts is None else {name: found[name] for name in found if name in parts}
    source = VideoInput.read(chosen, report, target.progress)
    arguments = {
        "made_by": "prepare_folder",
        "crop": list(crop) if isinstance(crop, tuple) else crop,
        "validation": validation if isinstance(validation, str) else sorted(listed),
        "segments": _as_json(parts),
        "max_seconds": max_seconds,
        **source.digests(),
    }
    if kept(report, settings, arguments):
        return report
    media: list[Media] = []
    cut: dict[str, list[Cut]] = {}
    rules = _Rules(validation if isinstance(validation, str) else listed, crop, target.fps, longest)
    ids = sources.clip_ids(found)
    said: list[str] = []
    with spools.heard(said):
        for name, digest in source.sha256.items():
            try:
                one = source.open(name)
                wanted = None if parts is None else parts[name]
                cut[name] = _cuts(one, ids[name], digest, wanted, rules, report)
            except (UserError, OSError) as error:
                report.skip(name, str(error))
            else:
                if cut[name]:
                    media.append(one)
    for text in said:
        report.warn(text)
    cuts.check_ids((one.name, part) for one in media for part in cut[one.name])
    _warn_before(report, media, cut, target.size, rules)
    grid = target.grid()
    jobs = [job for one in media for job in cuts.file_jobs(one, cut[one.name], grid)]
    total = sum(part.stop - part.start for one in media for part in cut[one.name])
    write(report, jobs, settings, arguments, total, target.progress, target.workers)
    return report


def _parts(
    given: str | os.PathLike | Mapping[str, Sequence[Segment]] | None,
    found: Mapping[str, pathlib.Path],
) -> dict[str, list[Segment]] | None:
    if given is None:
        return None
    if isinstance(given, str | os.PathLike):
        return segments.read_segments(pathlib.Path(given).expanduser(), list(found))
    return {name: list(parts) for name, parts in given.items()}


def _as_json(parts: Mapping[str, Sequence[Segment]] | None) -> dict[str, list] | None:
    if parts is None:
        return None
    return {n: [dataclasses.asdict(part) for part in parts[n]] for n in sorted(parts)}


def _cuts(
    media: Media,
    clip_id: str,
    sha256: str,
    parts: Sequence[Segment] | None,
    rules: _Rules,
    report: PrepareReport,
) -> list[Cut]:
    """The clips of a file: its parts, their ends held out if that is the rule, and divided.

    Raises:
        UserError: the file is used whole and has no frame.
    """
    frames = max(1, media.frames(rules.fps))
    folder = pathlib.PurePosixPath(media.name).parts[0]
    speaker = folder if folder != media.name else clip_id
    held_out = sources.is_validation(rules.validation, media.name, sha256)
    whole = parts is None
    wanted = [Segment(0.0, media.info.seconds)] if parts is None else list(parts)
    latest = max(wanted, key=lambda part: part.end)
    held = frames  # where the part of the file begins that the rule holds out
    if tail := _tail(rules):
        first, last = _span(latest, whole, frames, rules.fps)
        if not latest.split and last - first >= 2 * tail:
            held = last - tail
    result = []
    for number, part in enumerate(wanted):
        start, stop = _span(part, whole, frames, rules.fps)
        if not 0 <= start < stop:
            report.skip(
                f"{media.name} from {part.start:g} s",
                f"it has no part {part.start:g}-{part.end:g} s, it has {media.info.seconds:.2f} s; "
                "correct the list",
            )
            continue
        if part.end * rules.fps > frames + cuts.END_SLACK and not whole:
            report.warn(
                f"{media.name}: the part {part.start:g}-{part.end:g} s ends with the video, at "
                f"{media.info.seconds:.2f} s"
            )
        base = part.id or (clip_id if len(wanted) == 1 else f"{clip_id}.{number:03d}")
        split = part.split or ("validation" if held_out else "train")
        ranges = [(base, split, start, stop)]
        if not part.split and held < stop:
            # Frames that are held out are in no part for training, however parts overlap.
            ranges = [(base, split, start, held)] if start < held else []
            if part is latest:
                ranges.append((f"{base}.last", "validation", held, stop))
        for name, kind, first, last in ranges:
            divided = cuts.pieces(first, last, rules.longest)
            for i, (a, b) in enumerate(divided):
                piece = name if len(divided) == 1 else f"{name}.{i:03d}"
                crop = part.crop if part.crop is not None else rules.crop
                to_end = whole and b == frames
                result.append(Cut(piece, kind, a, b, crop, part.speaker or speaker, to_end))
    return result


def _span(part: Segment, whole: bool, frames: int, fps: float) -> tuple[int, int]:
    """The frames of a part, in a file of so many."""
    return round(part.start * fps), frames if whole else min(round(part.end * fps), frames)


def _tail(rules: _Rules) -> int:
    seconds = sources.last_seconds(rules.validation)
    return 0 if seconds is None else round(seconds * rules.fps)


def _counted(part: Sequence[Media], media: Sequence[Media]) -> str:
    verb = "has" if len(part) == 1 else "have"
    return f"{len(part)} of {len(media)} videos {verb}"


def _names(part: Sequence[Media]) -> str:
    return ", ".join(one.name for one in part[:5]) + (" ..." if part[5:] else "")


def _warn_before(
    report: PrepareReport,
    media: Sequence[Media],
    cut: Mapping[str, Sequence[Cut]],
    size: int,
    rules: _Rules,
) -> None:
    mute = [one for one in media if one.sound is None]
    if rules.fps != AUDIO_FPS:
        report.warn(
            f"audio features exist at {AUDIO_FPS:g} frames a second only, these are "
            f"{rules.fps:g}: all {len(media)} videos serve stage 1 only"
        )
    elif mute:
        report.warn(f"{_counted(mute, media)} no sound: they serve stage 1 only ({_names(mute)})")
    tail = _tail(rules)
    short = [
        one
        for one in media
        if tail and not any(part.split == "validation" for part in cut[one.name])
    ]
    if short:
        report.warn(
            f"{_counted(short, media)} less than {2 * tail / rules.fps:g} s: used for training "
            f"whole ({_names(short)})"
        )
    small = [one for one in media if _ENLARGED * _side(one, cut[one.name]) < size]
    if small:
        report.warn(
            f"{_counted(small, media)} squares of less than {size / _ENLARGED:g} pixels, they are "
            f"enlarged to {size} and blurred ({_names(small)})"
        )
    rare = [one for one in media if one.info.fps < _RARE * rules.fps]
    if rare:
        report.warn(
            f"{_counted(rare, media)} less than {_RARE * rules.fps:g} pictures a second, each is "
            f"shown for several frames ({_names(rare)})"
        )
    for one in media:
        _warn_of_long_sound(report, one)


def _side(media: Media, parts: Sequence[Cut]) -> float:
    """The smallest side of the squares that are kept of a video, pixels."""
    shorter = min(media.info.width, media.info.height)
    return min(
        (p.crop[2] if isinstance(p.crop, tuple) else shorter for p in parts), default=shorter
    )


def _warn_of_long_sound(report: PrepareReport, media: Media) -> None:
    if media.sound is None:
        return
    try:
        more = (sound.stated_length(media.sound) or 0.0) - media.info.seconds
    except UserError:
        return  # said when it is used
    if more * AUDIO_FPS > cuts.END_SLACK:
        report.warn(
            f"{media.name}: the sound goes on for {more:.2f} s after the pictures; not used"
        )
