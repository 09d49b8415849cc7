"""The lists of PATS, and the files that its addresses stand for."""

import dataclasses
import json
import pathlib
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence

from jaxgesture.core.config import nearest
from jaxgesture.core.errors import UserError
from jaxgesture.data import segments

_COLUMNS = ("dataset", "start_time", "end_time", "interval_id", "speaker", "video_link")
_SPLITS = {"train": "train", "dev": "validation", "test": "validation"}
_YOUTUBE = re.compile(r"^(?:https?:)?(?://)?(?:[\w-]+\.)*(?:youtube(?:-nocookie)?\.com|youtu\.be)/")
_ID = re.compile(r"[\w-]{11}", re.ASCII)
_ID_PLACES = re.compile(r"(?:[?&]v=|/)([\w-]{11})(?=$|[?&#/])", re.ASCII)
_BRACKETS = re.compile(r"\[([^\[\]]+)\]")
# yt-dlp's name for the pictures alone, while they wait for their sound.
_PICTURES_ALONE = re.compile(r"\.f\d+$")
# Names that a message lists.
NAMED = 5


@dataclasses.dataclass(frozen=True)
class Interval:
    """A row of the list.

    Attributes:
        line: its number in the file.
        id: its name in the subset, and that of its clip.
        speaker: who speaks.
        split: "train" or "validation".
        link: the address of the video.
        start: a time, see `segments.parse_time`.
        end: a time.
    """

    line: int
    id: str
    speaker: str
    split: str
    link: str
    start: str
    end: str


@dataclasses.dataclass
class Choice:
    """The rows that are asked for, and what there is to say of the others.

    Attributes:
        rows: those that can be used so far as the list alone tells.
        bad: file and line of those that cannot -> the reason.
        notes: warnings.
    """

    rows: list[Interval] = dataclasses.field(default_factory=list)
    bad: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)


def choose(
    path: pathlib.Path, subset: pathlib.Path | None, speakers: Sequence[str] | None
) -> Choice:
    """The rows of the list that are asked for.

    Args:
        path: cmu_intervals_df.csv.
        subset: the JSON file; its "test" is for validation. None takes all rows, of which dev and
            test are for validation.
        speakers: take only theirs.

    Raises:
        UserError: a file cannot be used, a speaker is unknown, or no row is asked for.
    """
    chosen = None if subset is None else _subset(subset)
    choice = Choice()
    seen: dict[str, int] = {}
    known: set[str] = set()
    counts = {"dev": 0, "test": 0}
    for line, row in segments.read_rows(path, _COLUMNS):
        name, speaker, kind = row["interval_id"], row["speaker"], row["dataset"]
        known.add(speaker)
        first = seen.setdefault(name, line)
        if chosen is not None and name not in chosen:
            continue
        if speakers is not None and speaker not in speakers:
            continue
        split = _SPLITS.get(kind) if chosen is None else chosen[name]
        place = f"{path.name} line {line}"
        if not name or not row["video_link"]:
            choice.bad[place] = f"it has no {'video_link' if name else 'interval_id'}"
        elif first != line:
            choice.bad[place] = f"interval {name} is in line {first} already"
        elif split is None:
            choice.bad[place] = f"dataset {kind!r} of interval {name} is none of train, dev, test"
        else:
            times = row["start_time"], row["end_time"]
            choice.rows.append(Interval(line, name, speaker, split, row["video_link"], *times))
            if chosen is None and kind in counts:
                counts[kind] += 1
    for speaker in sorted(set(speakers or ()) - known):
        raise UserError(f"{path} has no speaker {speaker!r}; {nearest(speaker, known)}")
    if not choice.rows and not choice.bad:
        raise UserError(f"{path} has none of the intervals asked for; check subset and speakers")
    if any(counts.values()):
        choice.notes.append(
            f"the sets dev ({counts['dev']}) and test ({counts['test']}) are both for validation"
        )
    absent = [name for name in chosen or () if name not in seen]
    if absent:
        choice.notes.append(
            f"{len(absent)} of the {len(chosen or ())} intervals of {subset} are not in {path}: "
            f"{listed(absent)}"
        )
    return choice


def _subset(path: pathlib.Path) -> dict[str, str]:
    """Interval id -> split."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(found, dict) or not all(map(_is_ids, found.values())):
            raise ValueError("no lists of ids by name")
        lists = {kind: [str(name) for name in found[kind]] for kind in found}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; check the path") from error
    except (ValueError, TypeError) as error:
        raise UserError(
            f'{path} is not {{"train": [ids], "test": [ids]}} in JSON ({error}); copy it again'
        ) from error
    if not lists or not set(lists) <= set(_SPLITS):
        raise UserError(f"{path} has the lists {', '.join(lists)}; train and test are expected")
    chosen: dict[str, str] = {}
    for kind, names in lists.items():
        for name in names:
            if chosen.setdefault(name, _SPLITS[kind]) != _SPLITS[kind]:
                raise UserError(f"{path} has interval {name} for training and testing; correct it")
    return chosen


def _is_ids(names: object) -> bool:
    return isinstance(names, list) and all(isinstance(name, str | int) for name in names)


def key(link: str) -> str:
    """What the file of a link is found by: the YouTube id, else the stem of the address."""
    if _ID.fullmatch(link):
        return link
    if _YOUTUBE.match(link):
        found = _ID_PLACES.search(link)
        if found is None and not _ID.fullmatch(link[-11:]):
            return link
        return link[-11:] if found is None else found[1]
    try:
        path = urllib.parse.unquote(urllib.parse.urlsplit(link).path)
    except ValueError:  # no address at all
        return link
    return pathlib.PurePosixPath(path).stem or link


def address(link: str) -> str:
    """What to give yt-dlp; of YouTube's nothing but the id, which could be part of a list."""
    video = key(link)
    known = _ID.fullmatch(video) and (video == link or _YOUTUBE.match(link))
    return f"https://www.youtube.com/watch?v={video}" if known else link


def by_key(found: Mapping[str, pathlib.Path]) -> dict[str, str]:
    """What the name of a video can be found by -> its name; whole files go first."""
    keys: dict[str, str] = {}
    for name in sorted(found, key=lambda name: bool(_PICTURES_ALONE.search(found[name].stem))):
        stem = _PICTURES_ALONE.sub("", found[name].stem)
        for way in (stem, *_BRACKETS.findall(stem)):
            keys.setdefault(way, name)
    return keys


def counted(rows: Sequence[Interval]) -> str:
    """How many intervals, and of whom."""
    return f"{len(rows)} interval{'s' * (len(rows) > 1)} of {listed({r.speaker for r in rows})}"


def listed(names: Iterable[str]) -> str:
    """The first few names; sets are put in order."""
    known = list(names) if isinstance(names, list) else sorted(names)
    return ", ".join(known[:NAMED]) + (" ..." if known[NAMED:] else "")
