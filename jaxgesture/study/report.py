"""The table of opinions as Markdown and JSON."""

import math
from collections import Counter

from jaxgesture.core import strict_json
from jaxgesture.study.collect import KINDS, Collected
from jaxgesture.study.scores import Score

NONE = "-"
INTERVAL = (
    "mean of the raters' means, and half of the 95 % interval: Student's t over the raters' means, "
    "because the ratings of one rater are not independent"
)
AGREEMENT = "Krippendorff's alpha, interval differences, over videos that two raters rated or more"


def markdown(found: Collected) -> str:
    """The table, what it means, and what was left out."""
    questions = found.key.questions
    lines = ["| | " + " | ".join(questions.values()) + " | ratings | raters |"]
    lines.append("|---" * (len(questions) + 3) + "|")
    for system, row in found.scores.items():
        # Each question has as many, save where single answers were passed over.
        ratings = _range([one.ratings for one in row.values()])
        raters = _range([one.raters for one in row.values()])
        cells = " | ".join(_cell(one) for one in row.values())
        lines.append(f"| {system} | {cells} | {ratings} | {raters} |")
    cells = " | ".join(_number(found.agreement[name]) for name in questions)
    total = len({key[0] for one in found.used for key in one.ratings})
    lines.append(f"| *agreement (alpha)* | {cells} | {total} videos | {len(found.used)} |")
    return "\n".join((*lines, "", *(f"- {line}" for line in _caption(found)))) + "\n"


def to_json(found: Collected) -> str:
    """The same in full precision, with every file."""
    return strict_json.dumps(
        {
            "study": found.key.study,
            "title": found.key.title,
            "systems": {
                system: {
                    question: {
                        **one._asdict(),
                        "low": one.mean - one.half_width,
                        "high": one.mean + one.half_width,
                    }
                    for question, one in row.items()
                }
                for system, row in found.scores.items()
            },
            "agreement": found.agreement,
            "raters": len(found.used),
            "ratings": sum(len(one.ratings) for one in found.used),
            "used": [
                {
                    "file": one.file,
                    "rater": one.rater,
                    "complete": one.complete,
                    "ratings": len(one.ratings),
                    "videos_that_did_not_play": one.failed,
                    "passed_over": one.faults,
                }
                for one in found.used
            ],
            "left_out": [item._asdict() for item in found.left_out],
            "left_out_counts": _counts(found),
            "interval": INTERVAL,
            "agreement_is": AGREEMENT,
        }
    )


def _counts(found: Collected) -> dict[str, int]:
    counts = Counter(item.kind for item in found.left_out)
    return {kind: counts[kind] for kind in KINDS}


def _caption(found: Collected) -> list[str]:
    ratings = sum(len(one.ratings) for one in found.used)
    faults = sum(len(one.faults) for one in found.used)
    failed = sum(one.failed for one in found.used)
    unfinished = sum(not one.complete for one in found.used)
    equal = sum(one.all_equal for one in found.used)
    counts = ", ".join(f"{number} {kind}" for kind, number in _counts(found).items())
    return [
        f"{found.key.title} (study {found.key.study}): {len(found.used)} raters, {ratings} ratings "
        f"from 1 (bad) to {found.key.levels} (excellent).",
        f"Cells: {INTERVAL}. Ratings: of each question.",
        f"Agreement: {AGREEMENT}; 1 is perfect, 0 is chance.",
        f"Files: {len(found.used)} used ({unfinished} of them incomplete, {equal} all equal), "
        f"{len(found.left_out)} left out: {counts}. Single answers passed over: {faults}. Videos "
        f"that did not play: {failed}.",
        *(f"Left out: {item.file}: {item.reason}." for item in found.left_out),
    ]


def _cell(one: Score) -> str:
    if math.isnan(one.mean):
        return NONE
    return f"{one.mean:.2f} ± {_number(one.half_width)}"


def _number(value: float) -> str:
    return NONE if math.isnan(value) else f"{value:.2f}"


def _range(values: list[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else f"{min(values)}-{max(values)}"
