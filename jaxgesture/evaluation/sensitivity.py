"""Which metrics see which damage: damage in growing grades, and what becomes of each metric.

A metric that should see a damage must be worse at every grade than at the one before. Worse is less
PSNR or SSIM, more of a distance, and for diversity and beats further from the value of the true
clips, since neither more nor less is better in itself.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxgesture.core import strict_json

# Metric -> its title, and +1 where more is worse, -1 where less is, 0 where the distance from the
# true value counts.
METRICS: Mapping[str, tuple[str, int]] = {
    "psnr full": ("PSNR", -1),
    "ssim full": ("SSIM", -1),
    "lpips full": ("LPIPS", 1),
    "fvd": ("FVD", 1),
    "fgd": ("FGD", 1),
    "diversity": ("Div.", 0),
    "shoulders": ("landmarks", 1),
    "ha2g_bc": ("HA2G BC", 0),
    "emage_bc": ("EMAGE BC", 0),
    "bailando_bas": ("Bailando BAS", 0),
    "beat_response": ("beat response", 0),
}
_PICTURES = ("psnr full", "ssim full", "lpips full", "fvd")
_BEATS = ("ha2g_bc", "emage_bc", "bailando_bas", "beat_response")
MEANT: Mapping[str, tuple[str, ...]] = {
    "blur": _PICTURES,
    "noise": _PICTURES,
    "shaken frames": (*_PICTURES, "fgd", "shoulders"),
    "frozen pose": (*_PICTURES, "fgd", "diversity", "shoulders", "beat_response"),
    "sound shifted": _BEATS,
    # Not PSNR: of clips that are the same it is infinite, and so is the mean.
    "motion of another speech": ("ssim full", "lpips full", "shoulders", *_BEATS),
}
"""Damage -> the metrics that should see it."""
WORSE, NOT_WORSE = "", " !"


class Grade(NamedTuple):
    """One grade of a damage.

    Attributes:
      damage: a key of `MEANT`.
      amount: as text.
      values: metric -> value; those that were not computed are missing.
    """

    damage: str
    amount: str
    values: Mapping[str, float]


class Answer(NamedTuple):
    """What a metric does as a damage grows.

    Attributes:
      damage: a key of `MEANT`.
      metric: a key of `METRICS`.
      grades: of the damage.
      worse: how many of them are worse than the one before; the first than no damage.
    """

    damage: str
    metric: str
    grades: int
    worse: int


def badness(metric: str, value: float, true: float) -> float:
    """How bad a value is: grows with the damage."""
    sign = METRICS[metric][1]
    return sign * value if sign else abs(value - true)


def answers(true: Mapping[str, float], grades: Sequence[Grade]) -> list[Answer]:
    """What every metric does that should see a damage; metrics that lack a value are left out.

    Args:
      true: values of the undamaged clips.
      grades: of each damage from the smallest to the largest.
    """
    found = []
    for damage, metrics in MEANT.items():
        own = [grade for grade in grades if grade.damage == damage]
        for metric in metrics:
            known = [true, *(grade.values for grade in own)]
            if not own or any(metric not in values for values in known):
                continue
            begin = true[metric]
            values = [begin, *(grade.values[metric] for grade in own)]
            bad = [badness(metric, value, begin) for value in values]
            # int: of NumPy's numbers it would be one of NumPy's, which JSON does not take.
            worse = int(sum(after > before for before, after in zip(bad, bad[1:], strict=False)))
            found.append(Answer(damage, metric, len(own), worse))
    return found


def markdown(true: Mapping[str, float], grades: Sequence[Grade], caption: Sequence[str]) -> str:
    """A table of all values, marked where a metric that should see a damage does not."""
    columns = [name for name in METRICS if any(name in grade.values for grade in grades)]
    lines = [
        "| damage | grade | " + " | ".join(METRICS[name][0] for name in columns) + " |",
        "|---" * (len(columns) + 2) + "|",
        "| none | | " + " | ".join(_cell(true.get(name)) for name in columns) + " |",
    ]
    before: dict[str, float] = dict(true)
    last = ""
    for grade in grades:
        if grade.damage != last:
            before, last = dict(true), grade.damage
        cells = []
        for name in columns:
            value = grade.values.get(name)
            if value is not None and name in MEANT[grade.damage] and name in true:
                bad = [badness(name, v, true[name]) for v in (before[name], value)]
                mark = WORSE if bad[1] > bad[0] else NOT_WORSE
                cells.append(f"**{_cell(value)}**{mark}")
            else:
                cells.append(_cell(value))
        before = {**before, **grade.values}
        lines.append(f"| {grade.damage} | {grade.amount} | " + " | ".join(cells) + " |")
    found = answers(true, grades)
    failed = [answer for answer in found if answer.worse < answer.grades]
    lines += [
        "",
        "- Bold: metrics that should see the damage; ! where one is no worse than before.",
    ]
    lines.append(
        f"- {len(found) - len(failed)} of {len(found)} metrics worsen with every grade of the "
        "damage that they should see."
    )
    lines += [
        f"- {METRICS[answer.metric][0]} does not see {answer.damage} as it should: worse at "
        f"{answer.worse} of {answer.grades} grades."
        for answer in failed
    ]
    return "\n".join([*lines, *(f"- {line}" for line in caption)]) + "\n"


def to_json(
    true: Mapping[str, float], grades: Sequence[Grade], protocol: Mapping[str, object]
) -> str:
    """All values in full precision, with what every metric does."""
    return strict_json.dumps(
        {
            "true": dict(true),
            "grades": [grade._asdict() for grade in grades],
            "answers": [answer._asdict() for answer in answers(true, grades)],
            "protocol": protocol,
        }
    )


def _cell(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3f}"
