"""Measured sets of clips that nobody measured: no videos, no networks."""

import collections

import numpy as np

from jaxgesture.evaluation import regions
from jaxgesture.evaluation.clip_scores import REFERENCE, ClipScores, Measured
from jaxgesture.evaluation.comparison import Scores
from jaxgesture.evaluation.landmark_distance import LandmarkDistance, MissingHands
from jaxgesture.evaluation.reconstruction import MODEL, WRONG_DRIVING

CANDIDATES = (MODEL, WRONG_DRIVING, "own_mean_frame", "source_unchanged")


def clip(name, **changes):
    """A clip by the speaker whose folder its name begins with."""
    return ClipScores(name, name.rpartition("/")[0], **changes)


def pictures(psnr, ssim=0.9, absent=1, **more):
    """Every region with one frame; the controls are a dB worse, one after the other."""
    means = {
        candidate: {"psnr": psnr - k, "ssim": ssim, **more}
        for k, candidate in enumerate(CANDIDATES)
    }
    return {region: Scores(means, 3, absent) for region in regions.REGIONS}


def landmarks(pixels, missing=0.0):
    return {
        "distance": LandmarkDistance(pixels, pixels / 100, 0.0), "hands": MissingHands(missing, 9)
    }  # fmt: skip


def waving(seed, seconds=4.0):
    """Joints of both arms that swing at rates of their own, (t, 7, 2) at 25 frames a second."""
    draw = np.random.default_rng(seed)
    times = np.arange(int(25 * seconds))[:, None, None] / 25
    rate, phase = draw.uniform(0.4, 1.2, (1, 7, 2)), draw.uniform(0, 6, (1, 7, 2))
    rest = draw.uniform(0.3, 0.7, (1, 7, 2))
    return rest + 0.1 * np.sin(2 * np.pi * rate * times + phase)


def measured(systems, problems=(), recordings=None):
    """All of it; `systems` has the reference under `REFERENCE`, each a list of clips."""
    found = {label: {one.name: one for one in clips} for label, clips in systems.items()}
    pairs = {
        label: [name for name in clips if name in found[REFERENCE]]
        for label, clips in found.items()
        if label != REFERENCE
    }
    return Measured(
        found, pairs, recordings or {label: {} for label in found},
        collections.Counter(problems), {"reading": 1.25}, None,
    )  # fmt: skip
