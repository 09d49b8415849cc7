"""The tables of a report on sets of videos, in the layout of the paper's."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from jaxgesture.evaluation import published, regions
from jaxgesture.evaluation.bootstrap import Interval
from jaxgesture.evaluation.clip_scores import REFERENCE
from jaxgesture.evaluation.reconstruction import MODEL, WRONG_DRIVING
from jaxgesture.evaluation.report import FORMATS, NONE
from jaxgesture.evaluation.video_summary import SetScore, Summary

SETS = {
    "fgd": "FGD",
    "diversity": "Div.",
    "fvd": "FVD",
    "fgd_motion": "FGD (motion features)",
    "diversity_motion": "Div. (motion features)",
}
ALIGNMENTS = {
    "ha2g_bc": "HA2G BC",
    "emage_bc": "EMAGE BC",
    "bailando_bas": "Bailando BAS",
    "beat_response": "beat response",
}
LANDMARKS = {
    "pixels": "landmark distance, pixels",
    "shoulders": "in widths of the shoulders",
    "missing_hands": "missing hands",
}
CONTROLS = {
    WRONG_DRIVING: "control: its frame half a clip away",
    "own_mean_frame": "control: mean of the true frames",
    "source_unchanged": "control: the first true frame",
}
BIG, SMALL = 100, 10
BY_SPEAKER = "By speaker"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes:
      title: above it.
      columns: heads, the first of the labels.
      rows: cells; the first is the label.
      notes: below it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def tables(summary: Summary) -> list[Table]:
    """All tables that have something in them, in the paper's order."""
    found = [
        _generation(summary), _alignment(summary), _reconstruction(summary), _landmarks(summary),
        _speakers(summary),
    ]  # fmt: skip
    return [table for table in found if table is not None and table.rows]


def published_tables() -> list[Table]:
    """The paper's own numbers in the same layout."""
    first = tuple(
        (name, *(f"{value:.{places}f}" for value, places in zip(row, (3, 3, 2), strict=True)))
        for name, row in published.GENERATION.items()
    )
    second = tuple(
        (name, *(" / ".join(_fixed(row[region])) for region in regions.REGIONS))
        for name, row in published.RECONSTRUCTION.items()
    )
    note = (
        "arXiv 2409.17674, tables 1 and 2, on PATS; pose extractor, autoencoder, video frames and "
        "crops are not published: no yardstick for the numbers above.",
    )
    heads = tuple(f"{region}: PSNR / SSIM / LPIPS" for region in regions.REGIONS)
    return [
        Table("As published: generation", ("", "FGD", "Div.", "FVD"), first),
        Table("As published: redrawing", ("", *heads), second, note),
    ]


def _generation(summary: Summary) -> Table | None:
    sets = summary.sets
    columns = [name for name in SETS if any(name in scores for scores in sets.values())]
    if not columns:
        return None
    rows = []
    for label, scores in sets.items():
        name = "true clips (FGD, FVD: one half against the other)" if label == REFERENCE else label
        if scores:
            rows.append((name, *(_set_cell(scores.get(column)) for column in columns)))
    return Table(
        "Generation, of whole sets",
        ("", *(SETS[name] for name in columns)),
        tuple(rows),
        (
            "Value ± standard error (ratio to the true clips). FGD, FVD: less is nearer to the "
            "true set; few clips make them too large, and the halves, which are fewer, more so: a "
            "perfect system has a ratio of about one half.",
            "Div.: mean L1 distance of embedded windows; near to that of the true clips is good.",
        ),
    )


def _set_cell(score: SetScore | None) -> str:
    if score is None or math.isnan(score.value):
        return NONE
    error = "" if math.isnan(score.error) else f" ± {_short(score.error)}"
    ratio = "" if math.isnan(score.ratio) or score.ratio == 1 else f" (x {score.ratio:.2f})"
    return f"{_short(score.value)}{error}{ratio}"


def _alignment(summary: Summary) -> Table | None:
    columns = [c for c in ALIGNMENTS if any(c in row for row in summary.alignment.values())]
    rows: list[tuple[str, ...]] = []
    for label, own in summary.alignment.items():
        if not own:
            continue
        name = "true motion" if label == REFERENCE else label
        for text, values, sign in (
            (name, own, False),
            (f"{name}, other speech", summary.other[label], False),
            (f"{name}, own less other", summary.gain[label], True),
        ):
            if values:
                rows.append((text, *(interval(values.get(c), 3, sign=sign) for c in columns)))
    return Table(
        "Beat alignment with the speech",
        ("", *(ALIGNMENTS[name] for name in columns)),
        tuple(rows),
        (
            "Three published definitions, 0 to 1, of shoulders, elbows and wrists in the picture's "
            "plane; beats of the speech are onsets of its sound, or those of NAME.beats.txt where "
            "that is there. What they divide by is measured "
            "on the true clips. They reward hands that slow down at the beats: where the true "
            "motion scores no more than with other speech, more is not better.",
            "beat response: how far the hands' speed rises and falls around the beats as that of "
            "the true clips does on average: 1 as far, 0 not at all.",
        ),
    )


def _reconstruction(summary: Summary) -> Table | None:
    rows: list[tuple[str, ...]] = []
    metrics: list[str] = []
    for pictures in summary.pictures.values():
        for found in pictures.get(MODEL, {}).values():
            metrics += [name for name in FORMATS if name in found and name not in metrics]
    if not metrics:
        return None
    first = True
    for label, pictures in summary.pictures.items():
        if not pictures:
            continue
        names = {MODEL: label, WRONG_DRIVING: f"{CONTROLS[WRONG_DRIVING]} ({label})"}
        if first:
            names |= {k: v for k, v in CONTROLS.items() if k != WRONG_DRIVING}
        first = False
        for candidate, name in names.items():
            cells = [
                _picture_cell(pictures[candidate].get(r, {}), metrics) for r in regions.REGIONS
            ]
            rows.append((name, *cells))
    titles = " / ".join(name.upper() for name in metrics)
    absent = []
    for label, found in summary.absent.items():
        parts = [
            f"{away} of {away + used} {region}"
            for region, (away, used) in found.items()
            if regions.REGIONS[region] and away + used
        ]
        if parts:
            absent.append(f"{label}: boxes not there, and left out: {', '.join(parts)}.")
    return Table(
        "Pictures, against the true ones of the same moment",
        ("", *(f"{region}: {titles}" for region in regions.REGIONS)),
        tuple(rows),
        (
            "Gestures need not equal the true ones: of generated speech these numbers say how a "
            "picture is drawn only where it shows the same pose. A model that beats the controls "
            "follows its clip. Pictures equal to the true ones, of infinite PSNR, are left out of "
            "its means.",
            *absent,
        ),
    )


def _picture_cell(values: Mapping[str, Interval], metrics: Sequence[str]) -> str:
    if not values:
        return NONE
    return " / ".join(FORMATS[name].format(values[name].mean) for name in metrics if name in values)


def _landmarks(summary: Summary) -> Table | None:
    found = summary.landmarks
    columns = [c for c in LANDMARKS if any(c in row for row in found.values())]
    rows = tuple(
        (label, *(interval(row.get(c), 3) for c in columns)) for label, row in found.items() if row
    )
    notes = ("Upper body; missing hands: share of those seen in the true frame.",)
    return Table("Landmarks", ("", *(LANDMARKS[c] for c in columns)), rows, notes)


def _speakers(summary: Summary) -> Table | None:
    found = summary.speakers
    columns = list(
        dict.fromkeys(c for rows in found.values() for row in rows.values() for c in row)
    )
    rows = tuple(
        ("true" if label == REFERENCE else label, speaker, *(_mean(row.get(c)) for c in columns))
        for label, speakers in found.items()
        for speaker, row in speakers.items()
    )
    heads = tuple(ALIGNMENTS.get(name, name.replace("_", " ")) for name in columns)
    return Table(
        BY_SPEAKER, ("", "speaker", *heads), rows,
        ("Means over clips; intervals are in report.json.",),
    )  # fmt: skip


def _mean(value: Interval | None) -> str:
    return NONE if value is None or math.isnan(value.mean) else f"{value.mean:.3f}"


def interval(value: Interval | None, places: int, *, sign: bool = False) -> str:
    """A mean with its interval, as text."""
    if value is None or math.isnan(value.mean):
        return NONE
    mean, low, high = (f"{_rounded(v, places):.{places}f}" for v in value[:3])
    mean = f"+{mean}" if sign and _rounded(value.mean, places) > 0 else mean
    if math.isnan(value.low) or not math.isfinite(value.mean):
        return mean
    return f"{mean} [{low}, {high}]"


def _rounded(value: float, places: int) -> float:
    """Without the minus sign of a zero."""
    return round(value, places) + 0.0 if math.isfinite(value) else value


def _short(value: float) -> str:
    return f"{value:.{1 if abs(value) >= BIG else 2 if abs(value) >= SMALL else 3}f}"


def _fixed(values: Sequence[float]) -> list[str]:
    return [f"{values[0]:.2f}", f"{values[1]:.3f}", f"{values[2]:.3f}"]
