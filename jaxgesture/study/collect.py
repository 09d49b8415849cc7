"""From the raters' files to scores: which files are used, which are not and why."""

import pathlib
import warnings
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.study import answers, scores
from jaxgesture.study.answers import Answers, Key, Unusable
from jaxgesture.study.scores import Score

# Why a file is not in the table, in the order of the report.
UNUSABLE, DUPLICATE, INCOMPLETE, ALL_EQUAL = "unusable", "duplicate", "incomplete", "all equal"
KINDS = (UNUSABLE, DUPLICATE, INCOMPLETE, ALL_EQUAL)


class LeftOut(NamedTuple):
    """A file that is not in the table.

    Attributes:
      file: its name.
      kind: one of `KINDS`.
      reason: in words.
    """

    file: str
    kind: str
    reason: str


class Collected(NamedTuple):
    """A table of opinions and what it was made of.

    Attributes:
      key: the study.
      used: one answers a rater.
      left_out: the other files.
      scores: system -> question -> score, in the order of the key.
      agreement: question -> Krippendorff's alpha.
    """

    key: Key
    used: list[Answers]
    left_out: list[LeftOut]
    scores: dict[str, dict[str, Score]]
    agreement: dict[str, float]


def collect(
    key_file: pathlib.Path,
    sources: Sequence[pathlib.Path],
    *,
    keep_incomplete: bool = False,
    keep_all_equal: bool = False,
) -> Collected:
    """Scores of all systems; warns of each file and each answer that is passed over.

    Args:
      key_file: key.json.
      sources: files, or folders of which every .json file is taken.
      keep_incomplete: use what those answered who did not finish.
      keep_all_equal: use raters all of whose answers are one number.

    Raises:
      UserError: no key, no files, or none of them usable.
    """
    key = answers.read_key(key_file)
    read: list[Answers] = []
    left_out: list[LeftOut] = []
    for path in _files(sources, key_file):
        try:
            read.append(answers.read(path, key))
        except Unusable as error:
            left_out.append(LeftOut(str(path), UNUSABLE, str(error)))
    used = []
    for one in _one_per_rater(read, left_out):
        # Those that are kept are named as well: they may be looked at again.
        if not one.complete:
            reason = _unfinished(one)
            if not keep_incomplete:
                left_out.append(LeftOut(one.file, INCOMPLETE, f"{reason}; --incomplete=keep"))
                continue
            _warn(f"{one.file}: {reason}; kept")
        if one.all_equal:
            reason = f"every answer of rater {one.rater} is {next(iter(one.ratings.values()))}"
            if not keep_all_equal:
                left_out.append(LeftOut(one.file, ALL_EQUAL, f"{reason}; --keep_all_equal"))
                continue
            _warn(f"{one.file}: {reason}; kept")
        used.append(one)
    for item in left_out:
        _warn(f"{item.file} is left out: {item.reason}")
    for one in used:
        for fault in one.faults:
            _warn(f"{one.file}: {fault}; passed over")
        if one.failed:
            _warn(f"{one.file}: {one.failed} videos did not play for rater {one.rater}")
    if not used:
        first = f"; the first: {left_out[0].file}: {left_out[0].reason}"
        raise UserError(
            f"none of {len(left_out)} files of answers can be used{first}; see the warnings above "
            "for the others"
        )
    return Collected(key, used, left_out, _scores(key, used), _agreement(key, used))


def _files(sources: Sequence[pathlib.Path], key_file: pathlib.Path) -> list[pathlib.Path]:
    files: dict[pathlib.Path, None] = {}
    for source in sources:
        if source.is_dir():
            here = sorted(p for p in source.iterdir() if p.suffix.lower() == ".json")
            # A key that lies among the answers is no mistake of a rater.
            files.update(dict.fromkeys(p for p in here if p.resolve() != key_file.resolve()))
        elif source.exists():
            files[source] = None
        else:
            raise UserError(f"--answers: there is no {source}; name the folder of the files")
    if not files:
        raise UserError(
            f"--answers: no .json file in {', '.join(map(str, sources))}; put the files there "
            "that the raters sent"
        )
    return list(files)


def _one_per_rater(read: Sequence[Answers], left_out: list[LeftOut]) -> list[Answers]:
    """Of files of the same rater the complete one, and of several the one finished last."""
    by_rater: dict[str, list[Answers]] = defaultdict(list)
    for one in read:
        by_rater[one.rater].append(one)
    kept = []
    for rater, several in by_rater.items():
        best = max(several, key=lambda one: (one.complete, one.finished, len(one.ratings)))
        kept.append(best)
        left_out += [
            LeftOut(one.file, DUPLICATE, f"rater {rater} is in {best.file} too, which is kept")
            for one in several
            if one is not best
        ]
    return kept


def _unfinished(one: Answers) -> str:
    if one.unrated:
        return f"rater {one.rater} left {one.unrated} videos without all ratings"
    return f"rater {one.rater} did not come to the end"


def _scores(key: Key, used: Sequence[Answers]) -> dict[str, dict[str, Score]]:
    ratings: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for one in used:
        for (token, question), value in one.ratings.items():
            ratings[key.videos[token][0], question][one.rater].append(value)
    return {
        system: {question: scores.score(ratings[system, question]) for question in key.questions}
        for system in key.systems
    }


def _agreement(key: Key, used: Sequence[Answers]) -> dict[str, float]:
    units: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for one in used:
        for (token, question), value in one.ratings.items():
            units[question][token].append(value)
    return {question: scores.alpha(list(units[question].values())) for question in key.questions}


def _warn(text: str) -> None:
    warnings.warn(text, DataWarning, stacklevel=3)
