"""Numbers of whole sets from what was measured of their clips.

Means over clips have 95 % bootstrap intervals over clips. Frechet distances have standard errors of
the delete-a-group jackknife (Shao & Wu 1989) over ten groups of generated clips, the true ones held
fixed: resampling with replacement would make sets poorer than they are, and the distance larger.
Beside each Frechet distance stands its ratio to that of the true clips among themselves, one half
against the other, a mean over random divisions. Halves have half the clips, so that they are
further apart than two whole sets would be: a perfect system has a ratio of about one half.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxgesture.evaluation import regions
from jaxgesture.evaluation.bootstrap import Interval, bootstrap
from jaxgesture.evaluation.clip_scores import (
    MOTION,
    POSE,
    REFERENCE,
    VIDEO,
    ClipScores,
    Measured,
)
from jaxgesture.evaluation.diversity import diversity
from jaxgesture.evaluation.frechet import frechet
from jaxgesture.evaluation.reconstruction import MODEL

FRECHET = {POSE: "fgd", MOTION: "fgd_motion", VIDEO: "fvd"}
DIVERSITY = {POSE: "diversity", MOTION: "diversity_motion"}
RANGES = {
    "ha2g_bc": (0.0, 1.0),
    "emage_bc": (0.0, 1.0),
    "bailando_bas": (0.0, 1.0),
    "pixels": (0.0, math.inf),
    "shoulders": (0.0, math.inf),
    "missing_hands": (0.0, 1.0),
}
"""Score -> what it can be; differences of scores are not cut."""
# A distance below this share of another is only rounding.
_ROUNDING = 1e-9
_GROUPS = 10
_DIVISIONS = 5


class SetScore(NamedTuple):
    """A number of a whole set.

    Attributes:
      value: of all clips; nan where there are too few.
      error: standard error; nan where there are too few clips.
      ratio: to that of the true clips, a half against the other; nan where that is not known.
      windows: rows of features it is computed from.
      clips: that they come from.
    """

    value: float
    error: float
    ratio: float
    windows: int
    clips: int


class Summary(NamedTuple):
    """What a report prints.

    Attributes:
      sets: label -> name of the score -> score; `REFERENCE` is the true clips among themselves.
      alignment: label -> name -> interval over clips, with the own speech.
      other: the same with other speech.
      gain: own less other, clip by clip.
      pictures: label -> candidate (the model or a control) -> region -> metric -> interval.
      absent: label -> region -> boxes that are not there, and that are.
      landmarks: label -> "pixels", "shoulders", "missing_hands" -> interval over clips.
      speakers: label -> speaker -> column -> interval; empty for one speaker.
      clips: label -> number of clips.
      pairs: label -> number of clips that are in the reference too.
    """

    sets: dict[str, dict[str, SetScore]]
    alignment: dict[str, dict[str, Interval]]
    other: dict[str, dict[str, Interval]]
    gain: dict[str, dict[str, Interval]]
    pictures: dict[str, dict[str, dict[str, dict[str, Interval]]]]
    absent: dict[str, dict[str, tuple[int, int]]]
    landmarks: dict[str, dict[str, Interval]]
    speakers: dict[str, dict[str, dict[str, Interval]]]
    clips: dict[str, int]
    pairs: dict[str, int]


def summarise(measured: Measured) -> Summary:
    """The numbers of all sets."""
    systems = measured.systems
    generated = {label: clips for label, clips in systems.items() if label != REFERENCE}
    return Summary(
        sets=_sets(systems),
        alignment={k: _means(v, lambda clip: clip.alignment) for k, v in systems.items()},
        other={k: _means(v, lambda clip: clip.other) for k, v in systems.items()},
        gain={k: _means(v, _gain, cut=False) for k, v in systems.items()},
        pictures={label: _pictures(clips) for label, clips in generated.items()},
        absent={label: _absent(clips) for label, clips in generated.items()},
        landmarks={label: _means(clips, landmark_values) for label, clips in generated.items()},
        speakers={label: _speakers(clips) for label, clips in systems.items()},
        clips={label: len(clips) for label, clips in systems.items()},
        pairs={label: len(names) for label, names in measured.pairs.items()},
    )


def clip_values(clip: ClipScores) -> dict[str, float]:
    """All that is known of one clip, by name: "psnr full", "ha2g_bc", "pixels" and so on."""
    values: dict[str, float] = {}
    for region, scores in clip.regions.items():
        for metric, value in scores.means.get(MODEL, {}).items():
            values[f"{metric} {region}"] = value
    return {**values, **clip.alignment, **landmark_values(clip)}


def landmark_values(clip: ClipScores) -> dict[str, float]:
    """Distances of landmarks and share of missing hands of a clip."""
    values: dict[str, float] = {}
    if clip.distance is not None:
        values |= {"pixels": clip.distance.pixels, "shoulders": clip.distance.shoulders}
    if clip.hands is not None:
        values["missing_hands"] = clip.hands.rate
    return values


def _gain(clip: ClipScores) -> dict[str, float]:
    both = clip.alignment.keys() & clip.other.keys()
    return {
        name: clip.alignment[name] - clip.other[name] for name in clip.alignment if name in both
    }


def _means(
    clips: Mapping[str, ClipScores],
    values: Callable[[ClipScores], Mapping[str, float]],
    *,
    cut: bool = True,
) -> dict[str, Interval]:
    """Mean over the clips of each value that any of them has; intervals cut to `RANGES`."""
    rows = [values(clip) for clip in clips.values()]
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: bootstrap([row[name] for row in rows if name in row]) for name in names}
    known = {name: interval for name, interval in found.items() if interval.n}
    return {name: _within(name, i) for name, i in known.items()} if cut else known


def _within(name: str, interval: Interval) -> Interval:
    """Cut where a value cannot be: intervals of few clips are wide."""
    low, high = RANGES.get(name, (-math.inf, math.inf))
    return interval._replace(low=max(interval.low, low), high=min(interval.high, high))


def _rows(clips: Mapping[str, ClipScores], kind: str) -> list[np.ndarray]:
    """Features of a kind, clip by clip."""
    return [clip.features[kind] for clip in clips.values() if kind in clip.features]


def _halves(clips: Sequence[np.ndarray]) -> float:
    """Mean distance of one half of the clips from the other, over some random divisions."""
    if len(clips) < 2:
        return math.nan
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_DIVISIONS):
        order = rng.permutation(len(clips))
        first, second = np.array_split(order, 2)
        found.append(_distance([clips[i] for i in first], [clips[i] for i in second]))
    return float(np.mean(found))


def _distance(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> float:
    if min(sum(map(len, a)), sum(map(len, b))) < 2:
        return math.nan
    return frechet(np.concatenate(a), np.concatenate(b))


def _frechet(own: Sequence[np.ndarray], true: Sequence[np.ndarray], ratio_to: float) -> SetScore:
    value = _distance(own, true)
    error = _jackknife(own, lambda part: _distance(part, true))
    ratio = value / ratio_to if ratio_to > _ROUNDING * max(value, 1.0) else math.nan
    return SetScore(value, error, ratio, sum(map(len, own)), len(own))


def _jackknife(clips: Sequence[np.ndarray], of: Callable[[Sequence[np.ndarray]], float]) -> float:
    """Standard error over groups of clips, each left out once."""
    if len(clips) < _GROUPS:
        return math.nan
    left_out = [
        of([clip for number, clip in enumerate(clips) if number % _GROUPS != group])
        for group in range(_GROUPS)
    ]
    return float(math.sqrt((_GROUPS - 1) * np.var(left_out)))


def _sets(systems: Mapping[str, Mapping[str, ClipScores]]) -> dict[str, dict[str, SetScore]]:
    found: dict[str, dict[str, SetScore]] = {label: {} for label in systems}
    for kind, name in FRECHET.items():
        true = _rows(systems[REFERENCE], kind)
        if not true:
            continue
        halves = _halves(true)
        windows = sum(map(len, true))
        found[REFERENCE][name] = SetScore(halves, math.nan, 1.0, windows, len(true))
        for label, clips in systems.items():
            own = _rows(clips, kind)
            if label != REFERENCE and own:
                found[label][name] = _frechet(own, true, halves)
    for kind, name in DIVERSITY.items():
        ratio_to = math.nan
        for label, clips in systems.items():  # the reference comes first
            own = _rows(clips, kind)
            if not own:
                continue
            value = diversity(np.concatenate(own))
            if label == REFERENCE:
                ratio_to = value
            error = _jackknife(own, lambda part: diversity(np.concatenate(part)))
            ratio = value / ratio_to if ratio_to > 0 else math.nan
            found[label][name] = SetScore(value, error, ratio, sum(map(len, own)), len(own))
    return found


def _pictures(
    clips: Mapping[str, ClipScores],
) -> dict[str, dict[str, dict[str, Interval]]]:
    found: dict[str, dict[str, dict[str, Interval]]] = {}
    for region in regions.REGIONS:
        seen = [c.regions[region].means for c in clips.values() if region in c.regions]
        for candidate in dict.fromkeys(name for means in seen for name in means):
            rows = [means[candidate] for means in seen if candidate in means]
            names = dict.fromkeys(name for row in rows for name in row)
            values = {name: _interval([row[name] for row in rows if name in row]) for name in names}
            found.setdefault(candidate, {})[region] = values
    return found


def _interval(values: Sequence[float]) -> Interval:
    """Infinite ones, PSNR of equal pictures, count only where all are."""
    finite = [value for value in values if math.isfinite(value)]
    return bootstrap(finite or values)


def _absent(clips: Mapping[str, ClipScores]) -> dict[str, tuple[int, int]]:
    return {
        region: (
            sum(c.regions[region].absent for c in clips.values() if region in c.regions),
            sum(c.regions[region].used for c in clips.values() if region in c.regions),
        )
        for region in regions.REGIONS
    }


def _speakers(clips: Mapping[str, ClipScores]) -> dict[str, dict[str, Interval]]:
    names = sorted({clip.speaker for clip in clips.values()})
    if len(names) < 2:
        return {}
    return {
        speaker or "(no folder)": _means(
            {name: clip for name, clip in clips.items() if clip.speaker == speaker}, clip_values
        )
        for speaker in names
    }
