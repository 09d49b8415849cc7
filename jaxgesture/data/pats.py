"""PATS: intervals of speech of 25 speakers, over videos that the user has.

`cmu_intervals_df.csv` names the videos by their addresses, nearly all of YouTube, and holds no
pictures or sound. The public subset of S2G-MDDiffusion is a JSON file {"train": [interval ids],
"test": [...]} of the speakers chemistry, jon, oliver and seth; its clips are 25 fps squares of full
height, at most 15 s.
"""

import math
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Unpack

from jaxgesture.core.errors import UserError
from jaxgesture.data import cuts, segments, sources, spools
from jaxgesture.data.crops import WORDS
from jaxgesture.data.cuts import END_SLACK, Cut, FileJob, Grid, Media
from jaxgesture.data.image import Crop, crop_box
from jaxgesture.data.pats_intervals import (
    NAMED,
    Interval,
    address,
    by_key,
    choose,
    counted,
    key,
    listed,
)
from jaxgesture.data.prepare_form import AUDIO_FPS, FormKeywords, FrameForm
from jaxgesture.data.prepare_input import VideoInput
from jaxgesture.data.prepare_report import PrepareReport, kept, write

# The left edge of the square of full height, as a part of the width, or a word of `crops`.
CROPS: Mapping[str, float | str] = {
    "chemistry": 0.031,
    "jon": "right",
    "oliver": 0.38,
    "seth": 0.395,
}
OTHERS = "center"


def read_crops(text: str) -> dict[str, float | str]:
    """Reads which part of the picture is kept of whom.

    Args:
        text: "speaker=rule,speaker=rule", or a CSV file with the columns speaker and crop. A rule
            is the left edge of the square of full height, as a part of the width in [0, 1), or a
            word: center, left, right, top, bottom, landmarks.

    Raises:
        UserError: it is something else.
    """
    path = pathlib.Path(text).expanduser()
    if not path.is_file() and "=" not in text:
        raise UserError(
            f"{text!r} is neither a CSV file nor rules; write speaker=rule,speaker=rule"
        )
    if path.is_file():
        pairs = [
            (row["speaker"], row["crop"])
            for _, row in segments.read_rows(path, ("speaker", "crop"))
        ]
    else:
        parts = (part.partition("=") for part in text.split(","))
        pairs = [(name.strip(), rule.strip()) for name, _, rule in parts]
    return {speaker: _rule(speaker, rule) for speaker, rule in pairs}


def _rule(speaker: str, rule: float | str) -> float | str:
    if rule in WORDS and speaker:
        return rule
    try:
        edge = float(rule)
    except ValueError:
        edge = math.nan
    if not 0 <= edge < 1 or not speaker:
        raise UserError(
            f"crop {rule!r} of {speaker or 'nobody'} is not understood; give the left edge of the "
            f"square as a part of the width, such as 0.38, or one of {', '.join(WORDS)}"
        )
    return edge


def missing_links(
    intervals: str | os.PathLike,
    videos: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    subset: str | os.PathLike | None = None,
    speakers: Sequence[str] | None = None,
) -> list[str]:
    """The addresses of the videos that are missing, each once, in the order of their first use.

    They are the lines of a file that `yt-dlp -a FILE` takes. The arguments are those of
    `prepare_pats`; the folder of videos may be empty.

    Raises:
        UserError: the lists cannot be used, or there is no such folder.
    """
    choice = choose(*_paths(intervals, subset), speakers)
    if isinstance(videos, str | os.PathLike) and not pathlib.Path(videos).expanduser().exists():
        raise UserError(
            f"there is no folder {videos}; make it, it may be empty, or correct --videos"
        )
    try:
        found = sources.find_videos(videos)
    except UserError:
        if not isinstance(videos, str | os.PathLike):
            raise
        found = {}  # a folder with no video in it
    files = by_key(found)
    missing = (address(row.link) for row in choice.rows if key(row.link) not in files)
    return list(dict.fromkeys(missing))


def prepare_pats(
    intervals: str | os.PathLike,
    videos: str | os.PathLike | Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    subset: str | os.PathLike | None = None,
    speakers: Sequence[str] | None = None,
    crops: Mapping[str, float | str] | None = None,
    max_seconds: float = 15.0,
    **form: Unpack[FormKeywords],
) -> PrepareReport:
    """Makes a frame dataset of intervals of PATS; what has no video is listed, the rest is used.

    Clips are called by the ids of their intervals. Without a subset the sets dev and test are both
    for validation. Sound and landmarks beside a video are used as by `prepare_folder`.

    Args:
        intervals: cmu_intervals_df.csv.
        videos: a folder (searched with its subfolders) or a list of files, each with its YouTube
            id as or in its name: "ID.mp4", or "Title [ID].mp4" as yt-dlp writes it. The video of
            another address has the last part of that as its name.
        out: folder of the dataset. One that the same call made is kept as it is, one that it
            began is gone on with.
        subset: JSON {"train": [ids], "test": [ids]} of the intervals to use; test is for
            validation. None uses all.
        speakers: use only these.
        crops: rules besides or instead of `CROPS`, see `read_crops`; of speakers without any the
            square in the middle is kept.
        max_seconds: longer intervals are cut off there.
        **form: what the clips are made to, and how the work is done, as for `prepare_folder`.

    Returns:
        What was used, what was left out and why, and counted warnings.

    Raises:
        UserError: no interval was usable, `out` holds something else, or an argument is wrong.
    """
    target = FrameForm(**form)
    settings = target.settings()
    longest = cuts.longest_clip(max_seconds, target.fps)
    given = {name: _rule(name, rule) for name, rule in (crops or {}).items()}
    rules = {**CROPS, **given}
    table, chosen = _paths(intervals, subset)
    choice = choose(table, chosen, speakers)
    try:
        found = sources.find_videos(videos)
    except UserError as error:
        raise UserError(
            f"{error}; `prepare pats --list-downloads` prints what is needed"
        ) from error
    report = PrepareReport(pathlib.Path(out).expanduser(), warnings=list(choice.notes))
    report.skipped.update(choice.bad)
    by_video = _match(choice.rows, found, report)
    _warn_of_rules(report, choice.rows, rules, given)
    wanted = {name: found[name] for name in sorted(by_video)}
    source = VideoInput.read(wanted, report, target.progress)
    arguments = {
        "made_by": "prepare_pats",
        "intervals": sources.file_sha256(table),
        "subset": None if chosen is None else sources.file_sha256(chosen),
        "speakers": None if speakers is None else sorted(speakers),
        "crops": {n: rules.get(n, OTHERS) for n in sorted({row.speaker for row in choice.rows})},
        "max_seconds": max_seconds,
        **source.digests(),
    }
    if kept(report, settings, arguments):
        return report
    grid = target.grid()
    cutter = _Cutter(table, rules, grid, longest, report)
    jobs: list[FileJob] = []
    said: list[str] = []
    mute: list[str] = []
    with spools.heard(said):
        for name in source.sha256:
            try:
                media = source.open(name)
            except (UserError, OSError) as error:
                report.skip(name, f"{error}; {counted(by_video[name])} left out")
                continue
            parts = cutter.cuts(by_video[name], media)
            if parts and media.sound is None:
                mute.append(name)
            jobs += cuts.file_jobs(media, parts, grid)
    if not jobs:
        raise UserError(_nothing(table, report))
    for text in said:
        report.warn(text)
    if cutter.shortened:
        report.warn(
            f"{cutter.shortened} intervals are longer than {max_seconds:g} s: cut off there"
        )
    if grid.extractor is None:
        report.warn(
            f"audio features exist at {AUDIO_FPS:g} frames a second only, these are "
            f"{target.fps:g}: all clips serve stage 1 only"
        )
    elif mute:
        report.warn(f"videos without sound, which serve stage 1 only: {listed(mute)}")
    total = sum(cut.stop - cut.start for job in jobs for cut in job.cuts)
    write(report, jobs, settings, arguments, total, target.progress, target.workers)
    return report


def _paths(
    intervals: str | os.PathLike, subset: str | os.PathLike | None
) -> tuple[pathlib.Path, pathlib.Path | None]:
    chosen = None if subset is None else pathlib.Path(subset).expanduser()
    return pathlib.Path(intervals).expanduser(), chosen


def _match(
    rows: Sequence[Interval], found: Mapping[str, pathlib.Path], report: PrepareReport
) -> dict[str, list[Interval]]:
    """The rows by the name of their video; those without are reported."""
    files = by_key(found)
    by_video: dict[str, list[Interval]] = {}
    missing: dict[str, list[Interval]] = {}
    for row in rows:
        name = files.get(key(row.link))
        if name is None:
            missing.setdefault(address(row.link), []).append(row)
        else:
            by_video.setdefault(name, []).append(row)
    for link, lost in missing.items():
        report.skip(
            link,
            f"no video is called {key(link)} or has it in [brackets]; {counted(lost)} left out",
        )
    if missing:
        lost = sum(map(len, missing.values()))
        report.warn(
            f"{lost} of {len(rows)} intervals are left out because {len(missing)} videos are "
            "missing; `prepare pats --list-downloads` prints their addresses"
        )
    return by_video


def _warn_of_rules(
    report: PrepareReport,
    rows: Sequence[Interval],
    rules: Mapping[str, float | str],
    given: Mapping[str, float | str],
) -> None:
    speakers = {row.speaker for row in rows}
    others = speakers - set(rules)
    if others:
        report.warn(
            f"no crop is known for {', '.join(sorted(others))}: the square in the middle is kept; "
            "--crops=speaker=rule chooses another"
        )
    for name in sorted(set(given) - speakers):
        report.warn(f"a crop is given for {name!r}, of whom no interval is used")


def _crop(rule: float | str, speaker: str, media: Media) -> Crop:
    """The square that a rule keeps of a video.

    Raises:
        UserError: it leaves the picture.
    """
    if isinstance(rule, str):
        return rule
    width, height = media.info.width, media.info.height
    # Whole pixels, so that a crop alone does not blur.
    crop = (float(math.floor(rule * width + 1e-6)), 0.0, float(height))
    try:
        crop_box(width, height, crop)
    except UserError as error:
        raise UserError(
            f"the square of full height at {rule:g} of the width leaves the {width} x {height} "
            f"picture of {media.name}; give another rule, --crops={speaker}=RULE"
        ) from error
    return crop


class _Cutter:
    """Makes cuts of intervals; reports those whose times or crops make no sense.

    Attributes:
        shortened: how many were longer than `longest` frames and have lost their ends.
    """

    def __init__(
        self,
        table: pathlib.Path,
        rules: Mapping[str, float | str],
        grid: Grid,
        longest: int,
        report: PrepareReport,
    ):
        self.shortened = 0
        self._table, self._rules, self._grid = table, rules, grid
        self._longest, self._report = longest, report

    def cuts(self, rows: Sequence[Interval], media: Media) -> list[Cut]:
        """The cuts of those intervals of a video that can be used."""
        found = []
        for row in rows:
            try:
                crop = _crop(self._rules.get(row.speaker, OTHERS), row.speaker, media)
                start, stop = self._span(row, media)
            except UserError as error:
                self._report.skip(
                    f"{self._table.name} line {row.line}", f"interval {row.id}: {error}"
                )
                continue
            found.append(Cut(row.id, row.split, start, stop, crop, row.speaker))
        return found

    def _span(self, row: Interval, media: Media) -> tuple[int, int]:
        """The first frame of an interval and the one behind its last."""
        start, end = segments.parse_time(row.start), segments.parse_time(row.end)
        if end <= start:
            raise UserError(f"its end {row.end} does not lie after its start {row.start}")
        fps, frames = self._grid.fps, media.frames(self._grid.fps)
        first, last = round(start * fps), round(end * fps)
        if first == last:
            raise UserError(f"{start:g} to {end:g} s hold no frame")
        stop = min(last, first + self._longest)
        if first >= frames or stop > frames + END_SLACK:
            raise UserError(
                f"{start:g} to {end:g} s leave {media.name}, which has {media.info.seconds:.2f} s; "
                "is it another video?"
            )
        self.shortened += stop < last
        return first, min(stop, frames)


def _nothing(table: pathlib.Path, report: PrepareReport) -> str:
    # Missing videos last: they can be thousands.
    skipped = sorted(report.skipped.items(), key=lambda item: "://" in item[0])
    reasons = [f"{name}: {why}" for name, why in skipped]
    more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
    return (
        f"no interval of {table} is usable, so {report.out} was not written; `prepare pats "
        f"--list-downloads` prints what is missing ({'; '.join(reasons[:NAMED])}{more})"
    )
