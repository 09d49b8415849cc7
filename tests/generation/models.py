"""Both models at their smallest, with weights nobody trained."""

import pathlib

import numpy as np
from animation.weights import TINY, numpy_variables
from motion.weights import numpy_params

from jaxgesture.animation.model import Animation
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.model import Motion
from jaxgesture.motion.normalisation import make_statistics

CONFIG = MotionConfig(
    feature_size=TINY.feature_size, audio_size=35, segment_frames=20, width=16, feedforward=16,
    heads=2, layers=1, audio_layers=1,
)  # fmt: skip
OPTIONS = {"candidates": 2, "steps": 3}


def make_animation(seed: int = 0) -> Animation:
    return Animation(TINY, numpy_variables(seed=seed))


def make_motion(animation_sha256: str, config: MotionConfig = CONFIG) -> Motion:
    statistics = make_statistics(config, audio_mean=np.zeros(35), audio_std=np.full(35, 3.0))
    return Motion(config, {"params": numpy_params(config), "stats": statistics}, animation_sha256)


def save_models(folder: pathlib.Path) -> None:
    """Writes both, into FOLDER/animation and FOLDER/motion."""
    animation = make_animation()
    animation.save(folder / "animation")
    make_motion(animation.sha256).save(folder / "motion")
