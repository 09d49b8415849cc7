"""PATS: intervals of speech of 25 speakers, over videos that the user has.

`cmu_intervals_df.csv` names the videos by their YouTube addresses and holds no pictures or sound.
The public subset of S2G-MDDiffusion is a JSON file {"train": [interval ids], "test": [...]} of the
speakers chemistry, jon, oliver and seth; its clips are 25 fps squares of full height, at most 15 s.
"""

import csv
import dataclasses
import io
import json
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

from jaxgesture.core.errors import UserError
from jaxgesture.data import audio, cuts, landmarks, segments, sources, spools, video
from jaxgesture.data.audio import Extractor
from jaxgesture.data.crops import parse_crop
from jaxgesture.data.cuts import Cut, Grid, Media
from jaxgesture.data.frame_writer import frame_settings
from jaxgesture.data.image import Crop
from jaxgesture.data.prepare_report import PrepareReport, kept, write

COLUMNS = ("dataset", "start_time", "end_time", "interval_id", "speaker", "video_link")
# Left edge of the square of full height, as a part of the width; or a word of `crops.parse_crop`.
CROPS: Mapping[str, float | str] = {
    "seth": 0.395,
    "oliver": 0.38,
    "chemistry": 0.031,
    "jon": "right",
}
_OTHERS = "center"
_SPLITS = {"train": "train", "dev": "validation", "test": "validation"}
_ID = re.compile(r"[\w-]{11}$", re.ASCII)
_IN_BRACKETS = re.compile(r"\[([\w-]{11})\]$", re.ASCII)
_NAMED = 5


@dataclasses.dataclass(frozen=True)
class _Interval:
    """A row of the list; `line` is where."""

    line: int
    id: str
    speaker: str
    split: str
    link: str
    start: str
    end: str


def read_crops(text: str) -> dict[str, float | str]:
    """The rules of "speaker=rule,speaker=rule", or of a CSV file with the columns speaker, crop.

    Args:
        text: the rules or the file's name. A rule is the left edge of the square of full height as
            a part of the width, in [0, 1), or a word: center, left, right, landmarks.

    Raises:
        UserError: something else.
    """
    path = pathlib.Path(text).expanduser()
    if "=" not in text or path.is_file():
        rows, _ = segments.read_rows(path, ("speaker", "crop"))
        pairs = [(row["speaker"], row["crop"]) for row in rows]
    else:
        parts = next(csv.reader(io.StringIO(text)))
        pairs = [
            (name.strip(), rule.strip()) for name, _, rule in (p.partition("=") for p in parts)
        ]
    return {speaker: _rule(speaker, rule) for speaker, rule in pairs}


def _rule(speaker: str, rule: float | str) -> float | str:
    try:
        edge = float(rule)
    except ValueError:
        try:
            if isinstance(rule, str) and isinstance(parse_crop(rule), str):
                return rule
        except UserError:
            pass
        edge = -1.0
    if not 0 <= edge < 1:
        raise UserError(
            f"crop {rule!r} of {speaker or 'nobody'} is not understood; give the left edge of the "
            "square as a part of the width, such as 0.38, or center, left, right or landmarks"
        )
    return edge


def crop_of(rule: float | str, width: float, height: float) -> Crop:
    """The square that a rule keeps of a picture of some size, see `read_crops`."""
    if isinstance(rule, str):
        return rule
    side = min(width, height)
    return min(rule * width, width - side), (height - side) / 2, side


def _intervals(
    path: pathlib.Path, subset: pathlib.Path | None, speakers: Sequence[str] | None
) -> tuple[list[_Interval], list[str], list[str]]:
    """The rows that are asked for, the lines that cannot be used, and ids that there are not.

    Raises:
        UserError: a file cannot be used, or nothing is asked for.
    """
    rows, _ = segments.read_rows(path, COLUMNS)
    chosen = None if subset is None else _subset(subset)
    found: list[_Interval] = []
    bad: list[str] = []
    seen: set[str] = set()
    for line, row in enumerate(rows, 2):
        name = row["interval_id"]
        if (chosen is not None and name not in chosen) or (
            speakers is not None and row["speaker"] not in speakers
        ):
            continue
        split = _SPLITS.get(row["dataset"]) if chosen is None else chosen[name]
        if split is None:
            bad.append(f"line {line}: dataset {row['dataset']!r} is none of train, dev, test")
        elif not name or name in seen:
            bad.append(f"line {line}: the interval_id {name!r} is empty or used before")
        else:
            seen.add(name)
            found.append(
                _Interval(
                    line, name, row["speaker"], split, row["video_link"],
                    row["start_time"], row["end_time"],
                )
            )  # fmt: skip
    if speakers is not None:
        unknown = sorted(set(speakers) - {row["speaker"] for row in rows})
        if unknown:
            raise UserError(f"{path} has no speaker {', '.join(unknown)}; check the spelling")
    if not found:
        raise UserError(f"{path} has none of the intervals asked for; check subset and speakers")
    absent = [] if chosen is None else sorted(set(chosen) - {row["interval_id"] for row in rows})
    return found, bad, absent


def _subset(path: pathlib.Path) -> dict[str, str]:
    """Interval id -> split."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        lists = {key: list(map(str, found[key])) for key in found}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except (ValueError, TypeError) as error:
        raise UserError(
            f'{path} is not {{"train": [ids], "test": [ids]}} in JSON ({error}); copy it again'
        ) from error
    if "train" not in lists or not set(lists) <= set(_SPLITS):
        raise UserError(f"{path} has the lists {', '.join(lists)}; train and test are expected")
    both = set(lists["train"]) & {i for key in lists if key != "train" for i in lists[key]}
    if both:
        raise UserError(f"{path} has {len(both)} ids for training and for testing; correct it")
    return {name: _SPLITS[key] for key, names in lists.items() for name in names}


def _key(link: str) -> str:
    """What the file of a link is found by: the YouTube id, else the stem of the address."""
    found = _ID.search(link)
    if found is not None and ("youtu" in link or len(link) == 11):
        return found[0]
    return pathlib.PurePosixPath(link.partition("?")[0]).stem


def _by_key(found: Mapping[str, pathlib.Path]) -> dict[str, str]:
    """Key of a link -> name of its video."""
    keys: dict[str, str] = {}
    for name, path in found.items():
        bracketed = _IN_BRACKETS.search(path.stem)
        keys.setdefault(path.stem, name)
        if bracketed is not None:
            keys.setdefault(bracketed[1], name)
    return keys


def _videos(videos: str | os.PathLike | Iterable[str | os.PathLike]) -> dict[str, pathlib.Path]:
    if isinstance(videos, str | os.PathLike) and pathlib.Path(videos).expanduser().is_dir():
        try:
            return sources.find_videos(videos)
        except UserError:
            return {}  # all are missing
    return sources.find_videos(videos)


def missing_links(
    intervals: str | os.PathLike,
    videos: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    subset: str | os.PathLike | None = None,
    speakers: Sequence[str] | None = None,
) -> list[str]:
    """The addresses of the videos that are not there, each once, for `yt-dlp -a FILE`.

    The arguments are those of `prepare_pats`; the folder of videos may be empty.
    """
    rows, _, _ = _intervals(*_paths(intervals, subset), speakers)
    keys = _by_key(_videos(videos))
    return list(dict.fromkeys(row.link for row in rows if _key(row.link) not in keys))


def _paths(
    intervals: str | os.PathLike, subset: str | os.PathLike | None
) -> tuple[pathlib.Path, pathlib.Path | None]:
    return (
        pathlib.Path(intervals).expanduser(),
        None if subset is None else pathlib.Path(subset).expanduser(),
    )


def prepare_pats(
    intervals: str | os.PathLike,
    videos: str | os.PathLike | Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    subset: str | os.PathLike | None = None,
    speakers: Sequence[str] | None = None,
    crops: Mapping[str, float | str] | None = None,
    size: int = 256,
    fps: float = float(audio.FRAME_RATE),
    max_seconds: float = 15.0,
    extractor: Extractor | None = None,
    image_format: str = "jpeg",
    quality: int = 95,
    workers: int = 0,
    progress: bool = True,
) -> PrepareReport:
    """Makes a frame dataset of intervals of PATS; what has no video is listed, the rest is used.

    Args:
        intervals: cmu_intervals_df.csv.
        videos: folder of videos with their YouTube id in their names: "ID.mp4", or
            "Title [ID].mp4" as yt-dlp writes it.
        out: folder of the dataset. One that the same call made is kept as it is, one that it
            began is gone on with.
        subset: JSON {"train": [ids], "test": [ids]} of the intervals to use; None for all.
        speakers: use only these.
        crops: more or other rules than `CROPS`, see `read_crops`; speakers without one are cut
            in the middle.
        size: side of the square frames, pixels.
        fps: frames a second. Audio features exist for 25 only.
        max_seconds: longer intervals are cut off there.
        extractor: of the audio features; None for the 35 hand-crafted ones.
        image_format: "jpeg" or "png".
        quality: of JPEG, 1 to 100.
        workers: processes; 0 does the work in this one.
        progress: show progress bars.

    Returns:
        What was used, what was left out and why, and counted warnings. Intervals of the sets dev
        and test are for validation.

    Raises:
        UserError: nothing was usable, `out` holds something else, or an argument is wrong.
    """
    extractor = extractor or audio.Baseline()
    settings = frame_settings(size, fps, extractor.size, image_format, quality, extractor.name)
    if not max_seconds * fps >= 1:
        raise UserError(f"clips of at most {max_seconds} s hold no frame; choose more seconds")
    rules = {**CROPS, **{name: _rule(name, rule) for name, rule in (crops or {}).items()}}
    table, listed = _paths(intervals, subset)
    rows, bad, absent = _intervals(table, listed, speakers)
    found = _videos(videos)
    keys = _by_key(found)
    report = PrepareReport(pathlib.Path(out).expanduser())
    for text in bad:
        line, _, reason = text.partition(": ")
        report.skip(f"{table.name} {line}", reason)
    by_video: dict[str, list[_Interval]] = {}
    missing: dict[str, list[_Interval]] = {}
    for row in rows:
        name = keys.get(_key(row.link))
        if name is None:
            missing.setdefault(row.link, []).append(row)
        else:
            by_video.setdefault(name, []).append(row)
    for link, lost in missing.items():
        report.skip(link, f"no video of it; {len(lost)} intervals of {lost[0].speaker}")
    _warn_of_rows(report, rows, missing, absent, rules, listed)
    sha256, failed = sources.hashes({name: found[name] for name in sorted(by_video)}, progress)
    report.skipped.update(failed)
    beside = {name: sources.sound_beside(found[name]) for name in sha256}
    marked = {name: landmarks.beside(found[name]) for name in sha256}
    arguments = {
        "made_by": "prepare_pats",
        "intervals": sources.file_sha256(table),
        "subset": None if listed is None else sources.file_sha256(listed),
        "speakers": None if speakers is None else sorted(speakers),
        "crops": {name: rules[name] for name in sorted({row.speaker for row in rows} & set(rules))},
        "max_seconds": max_seconds,
        "files": sha256,
        "sounds": sources.digests(beside),
        "landmarks": sources.digests(marked),
    }
    if kept(report, settings, arguments):
        return report
    grid = Grid(size, fps, extractor if fps == audio.FRAME_RATE else None)
    jobs: list[cuts.FileJob] = []
    said: list[str] = []
    shortened = 0
    with spools.heard(said):
        for name in sha256:
            try:
                info = video.probe(found[name])
            except (UserError, OSError) as error:
                report.skip(name, str(error))
                continue
            sound = beside[name] or (found[name] if info.has_audio else None)
            media = Media(found[name], name, info, sound, marked[name])
            parts = []
            for row in by_video[name]:
                try:
                    cut, whole = _cut(row, media, rules, fps, max_seconds)
                except UserError as error:
                    report.skip(f"{table.name} line {row.line} ({row.id})", str(error))
                    continue
                parts.append(cut)
                shortened += not whole
            jobs += cuts.file_jobs(media, parts, grid)
    for text in said:
        report.warn(text)
    if shortened:
        report.warn(f"{shortened} intervals are longer than {max_seconds:g} s: cut off there")
    total = sum(cut.stop - cut.start for job in jobs for cut in job.cuts)
    write(report, jobs, settings, arguments, total, progress, workers)
    return report


def _warn_of_rows(
    report: PrepareReport,
    rows: Sequence[_Interval],
    missing: Mapping[str, Sequence[_Interval]],
    absent: Sequence[str],
    rules: Mapping[str, float | str],
    subset: pathlib.Path | None,
) -> None:
    if missing:
        lost = sum(map(len, missing.values()))
        report.warn(
            f"{lost} of {len(rows)} intervals have no video ({len(missing)} videos are missing); "
            "--list-downloads prints their addresses"
        )
    if absent:
        names = ", ".join(absent[:_NAMED]) + (" ..." if absent[_NAMED:] else "")
        report.warn(f"{len(absent)} ids of {subset} are in no row: {names}")
    others = sorted({row.speaker for row in rows} - set(rules))
    if others:
        report.warn(
            f"no crop is known for {', '.join(others)}: the square in the middle is used; --crops "
            "sets another"
        )


def _cut(
    row: _Interval, media: Media, rules: Mapping[str, float | str], fps: float, max_seconds: float
) -> tuple[Cut, bool]:
    """The clip of an interval, and whether it is whole.

    Raises:
        UserError: its times make no sense.
    """
    start, end = segments.parse_time(row.start), segments.parse_time(row.end)
    if end <= start:
        raise UserError(f"its end {row.end} does not lie after its start {row.start}")
    first, frames = round(start * fps), media.frames(fps)
    stop = min(round(end * fps), frames)
    if first >= stop:
        raise UserError(f"it starts at {start:g} s, {media.name} has {media.info.seconds:.2f} s")
    last = min(stop, first + int(max_seconds * fps))
    crop = crop_of(rules.get(row.speaker, _OTHERS), media.info.width, media.info.height)
    return Cut(row.id, row.split, first, last, crop, row.speaker), last == stop
