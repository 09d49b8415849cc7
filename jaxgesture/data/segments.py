"""Lists of the parts of videos that become clips, and the times that are written in them.

A list is a CSV file in UTF-8 with the names of its columns in the first line:

| column  | what it says                                                                       |
|---------|------------------------------------------------------------------------------------|
| clip    | the video, relative to the folder that is prepared; without suffix if one fits     |
| start   | where the part starts, a time as `parse_time` reads it                             |
| end     | where it ends                                                                      |
| split   | "train" or "validation"; nothing: by the rule for the whole folder                 |
| crop    | see `crops.parse_crop`, "x,y,side" in quotes; nothing: that of the whole folder    |
| id      | of the clip; nothing: made of the name of the video                                |
| speaker | who is seen; nothing: by the name of the video's folder                            |

The last four columns may be left out.
"""

import csv
import dataclasses
import datetime
import difflib
import io
import math
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

from jaxgesture.core.config import nearest
from jaxgesture.core.errors import UserError
from jaxgesture.data.crops import parse_crop
from jaxgesture.data.image import Crop

SPLITS = ("train", "validation")
_REQUIRED = ("clip", "start", "end")
_OPTIONAL = ("split", "crop", "id", "speaker")
# Wrong lines that are named in one message.
_SHOWN = 20

_NUMBER = re.compile(r"\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+", re.IGNORECASE | re.ASCII)
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d{1,2}(?:\.\d*)?)", re.ASCII)
_DAYS = re.compile(r"(\d+) days?(?:,? \+?(.+))?", re.ASCII)
_ISO_DAYS = re.compile(r"P(\d+)DT(\d+)H(\d+)M(\d+(?:\.\d*)?)S", re.ASCII)
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](.+?)(?:Z|\+00:?00)?)?", re.ASCII)
# Seconds; no video lasts for years.
_LONGEST = 1e8
# Lengths of time that were read as moments are counted from one of these days.
_FIRST_DAYS = (datetime.date(1900, 1, 1), datetime.date(1970, 1, 1))


@dataclasses.dataclass(frozen=True)
class Segment:
    """A part of a video.

    Attributes:
        start: seconds from the first picture.
        end: seconds from the first picture.
        split: "train" or "validation"; "" leaves it to the rule for the whole folder.
        crop: the square of the picture that is kept; None leaves it to the whole folder's.
        id: of the clip; "" for one made of the file's name.
        speaker: who is seen; "" for one made of the file's name.
    """

    start: float
    end: float
    split: str = ""
    crop: Crop = None
    id: str = ""
    speaker: str = ""


def parse_time(value: str) -> float:
    """Seconds, of a time as people, spreadsheets and pandas write it.

    Accepted are seconds ("62.5"), minutes or hours with colons ("1:02.5", "00:01:02.5"), lengths
    of time with days ("0 days 00:01:02.500000", "P0DT0H1M2.5S"), and moments ("1900-01-01
    00:01:02.5"). Of a moment the time of day counts; in January 1900 and January 1970, where
    programs begin to count, the days since the first as well.

    Raises:
        UserError: it is none of these, or negative.
    """
    text = value.strip()
    seconds = float(text) if _NUMBER.fullmatch(text) else _clock(text)
    if seconds is None and (match := _DAYS.fullmatch(text)):
        seconds = _with_days(int(match[1]), match[2])
    if seconds is None and (match := _ISO_DAYS.fullmatch(text)):
        seconds = _with_days(int(match[1]), f"{match[2]}:{match[3]}:{match[4]}")
    if seconds is None and (match := _DATE.fullmatch(text)):
        days = _days_of(match[1])
        seconds = None if days is None else _with_days(days, match[2])
    if seconds is None or not seconds < _LONGEST:
        raise UserError(
            f"{value!r} is no time; write seconds (62.5) or a clock (00:01:02.5), from 0 on"
        )
    return seconds


def _clock(text: str) -> float | None:
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds = int(match[1] or 0), int(match[2]), float(match[3])
    # Only the first number may run over: 75:10 is an hour and a quarter.
    if seconds >= 60 or (match[1] is not None and minutes >= 60):
        return None
    return hours * 3600 + minutes * 60 + seconds


def _with_days(days: int, time: str | None) -> float | None:
    """Days and a time of day, which must have all its three numbers."""
    if time is None:
        return days * 86400.0
    seconds = _clock(time) if time.count(":") == 2 else None
    return None if seconds is None or seconds >= 86400 else days * 86400 + seconds


def _days_of(text: str) -> int | None:
    try:
        date = datetime.date.fromisoformat(text)
    except ValueError:
        return None
    first = next((day for day in _FIRST_DAYS if day.replace(day=date.day) == date), date)
    return (date - first).days


def read_rows(
    path: pathlib.Path, required: Sequence[str], optional: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file in UTF-8 whose first line names the columns.

    Args:
        path: the file.
        required: columns that it must have.
        optional: columns that it may have besides; None for any.

    Yields:
        the number of the line in which a row ends, and its values by column, stripped. Values that
        are missing at a row's end are empty; empty lines are left out.

    Raises:
        UserError: it cannot be read, is not UTF-8 or no CSV, columns are missing or unknown, or a
            row has more values than there are columns.
    """
    rows = _lines(path)
    columns = next(rows, (1, []))[1]
    for name, mark in (("semicolons", ";"), ("tabs", "\t")):
        if len(columns) == 1 and mark in columns[0]:
            raise UserError(f"{path} is separated by {name}; separate the columns by commas")
    known = (*required, *(optional or ()))
    wrong = [f"it has column {name!r} twice" for name in known if columns.count(name) > 1]
    missing = [name for name in required if name not in columns]
    if missing:
        wrong.append(f"it has no column {', '.join(missing)}")
    if optional is not None:
        unknown = [name for name in columns if name not in known]
        wrong += [f"there is no column {name!r}; {nearest(name, known)}" for name in unknown]
    if wrong:
        raise UserError(f"{path}: {'; '.join(wrong)}; correct the first line")
    for line, values in rows:
        if len(values) > len(columns):
            raise UserError(
                f"{path}, line {line}: {len(values)} values for {len(columns)} columns; put values "
                "with commas, such as a crop x,y,side, in quotes"
            )
        padded = values + [""] * (len(columns) - len(values))
        yield line, dict(zip(columns, padded, strict=True))


def _lines(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; check the path") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path} is not UTF-8 text (line {line}); save it as CSV in UTF-8"
        ) from error
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in rows:
            values = [value.strip() for value in row]
            if any(values):
                yield rows.line_num, values
    except csv.Error as error:
        raise UserError(
            f"{path}, line {rows.line_num}: {error}; correct the quotes of that line"
        ) from error


def read_segments(path: pathlib.Path, names: Iterable[str]) -> dict[str, list[Segment]]:
    """Reads a list of parts of videos; its columns are described above.

    Args:
        path: the CSV file.
        names: the videos that there are, as `sources.find_videos` names them.

    Returns:
        the parts by the name of their video, in the order of the list.

    Raises:
        UserError: it cannot be read, or lines are wrong; all of them are named with their numbers.
    """
    known = _by_spelling(names)
    parts: dict[str, list[Segment]] = {}
    lines: dict[str, int] = {}
    wrong: list[str] = []
    for line, row in read_rows(path, _REQUIRED, _OPTIONAL):
        name, part, problems = _segment(row, known)
        if part.id and lines.setdefault(part.id, line) != line:
            problems.append(f"the id {part.id!r} is that of line {lines[part.id]}")
        wrong += [f"line {line}: {problem}" for problem in problems]
        if not problems:
            parts.setdefault(name, []).append(part)
    if wrong:
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise UserError(f"{path}: {'; '.join(wrong[:_SHOWN])}{more}; correct these lines")
    if not parts:
        raise UserError(f"{path} lists no part; write one line for each: {','.join(_REQUIRED)}")
    return parts


def _spelling(name: str) -> str:
    # The same accented letter can be one character in a list and two in the name of a file.
    return unicodedata.normalize("NFC", name)


def _by_spelling(names: Iterable[str]) -> dict[str, list[str]]:
    """Ways to write a video's name -> the videos that can be meant; whole names go first."""
    known: dict[str, list[str]] = {}
    bare: dict[str, list[str]] = {}
    for name in names:
        known.setdefault(_spelling(name), []).append(name)
        stem = str(pathlib.PurePosixPath(name).with_suffix(""))
        bare.setdefault(_spelling(stem), []).append(name)
    return {**bare, **known}


def _segment(
    row: Mapping[str, str], known: Mapping[str, list[str]]
) -> tuple[str, Segment, list[str]]:
    """The video and the part that a line names, and what is wrong with it."""
    problems: list[str] = []
    name = ""
    try:
        name = _video(row["clip"], known)
    except UserError as error:
        problems.append(str(error))
    times = {"start": -1.0, "end": math.inf}
    for key in times:
        try:
            times[key] = parse_time(row[key])
        except UserError as error:
            problems.append(str(error))
    if times["end"] <= times["start"]:
        problems.append(f"end {row['end']} does not lie after start {row['start']}")
    split = row.get("split", "")
    if split and split not in SPLITS:
        problems.append(f"split {split!r} is neither train nor validation")
    crop = None
    if row.get("crop"):
        try:
            crop = parse_crop(row["crop"])
        except UserError as error:
            problems.append(str(error))
    part = Segment(
        times["start"], times["end"], split, crop, row.get("id", ""), row.get("speaker", "")
    )
    return name, part, problems


def _video(clip: str, known: Mapping[str, list[str]]) -> str:
    if not clip:
        raise UserError("no clip is named")
    found = known.get(_spelling(clip), [])
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{clip!r} may be any of {', '.join(found)}; write one of them")
    close = difflib.get_close_matches(_spelling(clip), known, n=1)
    # All that there are can be thousands.
    hint = f"did you mean {known[close[0]][0]!r}?" if close else "write its path below the folder"
    raise UserError(f"no video is called {clip!r}; {hint}")
