"""Models and controls on the same held-out clips, in every region and metric."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxgesture.evaluation import regions
from jaxgesture.evaluation.image import psnr
from jaxgesture.evaluation.reconstruction import MODEL, WRONG_DRIVING, Reconstruction
from jaxgesture.evaluation.ssim import ssim

# Candidates (n, h, w, 3) and the truth of the same shape -> one value a candidate and picture.
Metric = Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray]
SHARED = {
    "mean_frame": "control: mean frame of the training part",
    "own_mean_frame": "control: mean of the held-out frames themselves",
    "source_unchanged": "control: source unchanged",
}


class Scores(NamedTuple):
    """One region of a clip, or of several.

    Attributes:
      means: candidate -> metric -> mean; empty where nothing of the region is seen.
      used: pictures that were compared.
      absent: boxes that are not there, and were left out.
    """

    means: dict[str, dict[str, float]]
    used: int
    absent: int


def one_by_one(metric: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Metric:
    """A metric of candidates from one of (images, reference)."""
    return lambda candidates, truth: np.stack([metric(images, truth) for images in candidates])


METRICS: Mapping[str, Metric] = {"psnr": one_by_one(psnr), "ssim": one_by_one(ssim)}


def judge(item: Reconstruction, metrics: Mapping[str, Metric]) -> dict[str, Scores]:
    """Means over the frames of a clip in every region.

    Raises:
      UserError: if the pictures are too small for a metric.
    """
    return {region: _judge(item, region, metrics) for region in regions.REGIONS}


def _judge(item: Reconstruction, region: str, metrics: Mapping[str, Metric]) -> Scores:
    where = regions.places(item.clip, region)
    used = len(where.frames)
    if not used:
        return Scores({}, 0, where.absent)
    names = item.candidates()
    truth = regions.cut(item.truth, where)
    candidates = [
        regions.cut(np.broadcast_to(images, item.truth.shape), where) for images in names.values()
    ]
    values = {name: finite_means(metric(candidates, truth)) for name, metric in metrics.items()}
    means = {
        candidate: {name: float(value[i]) for name, value in values.items()}
        for i, candidate in enumerate(names)
    }
    return Scores(means, used, where.absent)


def merge(into: dict[str, Scores], found: Mapping[str, Scores]) -> None:
    """Adds the metrics of `found`, of the same pictures, to those of a clip's regions."""
    for region, scores in found.items():
        before = into.setdefault(region, scores)
        for candidate, values in scores.means.items():
            before.means.setdefault(candidate, {}).update(values)


def finite_means(values: np.ndarray) -> np.ndarray:
    """Means over the last axis; infinite values, PSNR of equal pictures, only where all are."""
    finite = np.isfinite(values)
    count = finite.sum(axis=-1)
    total = np.where(finite, values, 0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), values[..., 0])


def average(clips: Sequence[Mapping[str, Scores]]) -> dict[str, Scores]:
    """Means over the clips in which a region is seen at all; counts are summed.

    Args:
      clips: at least one.
    """
    return {region: _average([scores[region] for scores in clips]) for region in clips[0]}


def _average(clips: Sequence[Scores]) -> Scores:
    seen = [scores.means for scores in clips if scores.means]
    means = {
        candidate: {n: float(np.mean([one[candidate][n] for one in seen])) for n in metrics}
        for candidate, metrics in (seen[0] if seen else {}).items()
    }
    return Scores(means, sum(s.used for s in clips), sum(s.absent for s in clips))


def rows(models: Mapping[str, Mapping[str, Scores]]) -> dict[str, dict[str, dict[str, float]]]:
    """The rows of a table: each model, driven rightly and wrongly, then what all share.

    Args:
      models: averages by the model's name, on the same clips.

    Returns:
      label -> region -> metric -> value; {} for a region that is never seen.
    """
    labels = {}
    for name in models:
        labels[name] = (name, MODEL)
        labels[f"control: {name}, wrong driving frame"] = (name, WRONG_DRIVING)
    first = next(iter(models))
    labels |= {label: (first, candidate) for candidate, label in SHARED.items()}
    return {
        label: {region: scores.means.get(candidate, {}) for region, scores in models[name].items()}
        for label, (name, candidate) in labels.items()
    }
