"""The file of one rater: read, checked against the key, and its faults named."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxgesture.core.errors import UserError


class Key(NamedTuple):
    """What key.json tells.

    Attributes:
      study: its id.
      title: of its page.
      systems: their names, in the order of the command.
      questions: name -> label.
      videos: token -> (system, clip).
      levels: ratings go from 1 to this.
    """

    study: str
    title: str
    systems: list[str]
    questions: dict[str, str]
    videos: dict[str, tuple[str, str]]
    levels: int = 5


class Answers(NamedTuple):
    """What one rater answered, as far as it can be used.

    Attributes:
      file: name of the file.
      rater: the name given on the page.
      finished: ISO 8601 in UTC, to order by; "" where the rater did not finish.
      started: likewise.
      ratings: (token, question) -> 1 to 5.
      unrated: videos of the rater's plan without an answer to every question.
      failed: videos that did not play, which the rater went past.
      faults: answers that were passed over, each with its reason.
    """

    file: str
    rater: str
    finished: str
    started: str
    ratings: dict[tuple[str, str], int]
    unrated: int
    failed: int
    faults: list[str]

    @property
    def complete(self) -> bool:
        """Whether the rater got to the end and left nothing out."""
        return bool(self.finished) and not self.unrated

    @property
    def all_equal(self) -> bool:
        """Whether every answer is the same number, which says that nobody looked."""
        return len(self.ratings) > 1 and len(set(self.ratings.values())) == 1


class Unusable(Exception):
    """A file of which nothing can be used; the message is the reason."""


def read_key(path: pathlib.Path) -> Key:
    """Reads key.json.

    Raises:
      UserError: if it is missing or is no key.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Key(
            study=str(found["study"]),
            title=str(found["title"]),
            systems=list(found["systems"]),
            questions={item["name"]: item["label"] for item in found["questions"]},
            videos={t: (v["system"], v["clip"]) for t, v in found["videos"].items()},
        )
    except OSError as error:
        raise UserError(f"cannot read the key {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is no key of a study; name the key.json that `jaxgesture study make` wrote "
            "beside the page"
        ) from error


def read(path: pathlib.Path, key: Key) -> Answers:
    """Reads a rater's file.

    Raises:
      Unusable: it cannot be read, is no answers, is of another study, or has no rating in it.
    """
    found = _read_json(path)
    if not isinstance(found, Mapping) or not isinstance(found.get("answers"), Mapping):
        raise Unusable("holds no answers")
    if found.get("study") != key.study:
        raise Unusable(f"answers of another study, {found.get('study')!r}, not {key.study!r}")
    rater = str(found.get("rater") or "").strip()
    if not rater:
        raise Unusable("does not name its rater")
    ratings: dict[tuple[str, str], int] = {}
    faults: list[str] = []
    given: dict[str, set[str]] = {}
    failed = set()
    for token, answer in found["answers"].items():
        if token not in key.videos:
            faults.append(f"unknown video {token!r}")
            continue
        values = answer.get("ratings") if isinstance(answer, Mapping) else None
        if not isinstance(values, Mapping):
            faults.append(f"video {token}: holds no ratings")
            continue
        if answer.get("failed") is True:
            failed.add(token)
        # What is out of range was given all the same: it does not make a file unfinished.
        given[token] = set(values)
        for question, value in values.items():
            if question not in key.questions:
                faults.append(f"video {token}: unknown question {question!r}")
            elif type(value) is not int or not 1 <= value <= key.levels:
                faults.append(
                    f"video {token}, {question}: {value!r} is not a whole number from 1 to "
                    f"{key.levels}"
                )
            else:
                ratings[token, question] = value
    if not ratings:
        raise Unusable(f"has no rating that can be used{_because(faults)}")
    order = found.get("order")
    # Without its order a file still says which videos were begun.
    asked = set(order if isinstance(order, list) and order else given) & set(key.videos)
    unrated = [t for t in asked - failed if not key.questions.keys() <= given.get(t, set())]
    return Answers(
        file=str(path),
        rater=rater,
        finished=_text(found.get("finished")),
        started=_text(found.get("started")),
        ratings=ratings,
        unrated=len(unrated),
        failed=len(failed),
        faults=faults,
    )


def _read_json(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise Unusable("broken JSON: nested too deeply") from error
    except ValueError as error:
        raise Unusable(f"broken JSON: {error}") from error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _because(faults: list[str]) -> str:
    return f": {faults[0]}" if faults else ""
