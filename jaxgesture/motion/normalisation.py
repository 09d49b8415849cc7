"""From motion and audio features to the denoiser's units, and back.

The statistics are four vectors that travel with the weights (`Network.stats`):
audio clip((x - audio_mean) / audio_std, -10, 10); motion clip((x - motion_mean) / motion_scale,
-1, 1). Where means are 0 and scales 1, as without standardisation and for published weights, all
stays as it is and nothing is cut.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from jaxgesture.core.errors import UserError
from jaxgesture.core.types import Array, Float
from jaxgesture.motion.config import MotionConfig

Statistics = Mapping[str, Array]
NAMES = ("audio_mean", "audio_std", "motion_mean", "motion_scale")
# Numbers that hardly move are rounding of the base model: standardising them all the way up would
# make the network spend itself on noise. Relative to the root mean square of all deviations.
MOTION_FLOOR = 0.1
# A column that never moves in training carries nothing; one that does so later must not explode.
AUDIO_FLOOR = 1e-4
AUDIO_LIMIT = 10.0


def identity_statistics(config: MotionConfig) -> dict[str, np.ndarray]:
    """Statistics that leave audio and motion as they are."""
    audio, motion = (config.audio_size,), (config.motion_size,)
    values = (np.zeros(audio), np.ones(audio), np.zeros(motion), np.ones(motion))
    return {n: v.astype(np.float32) for n, v in zip(NAMES, values, strict=True)}


def make_statistics(
    config: MotionConfig,
    *,
    audio_mean: Float[np.ndarray, " a"],
    audio_std: Float[np.ndarray, " a"],
    motion_mean: Float[np.ndarray, " m"] | None = None,
    motion_std: Float[np.ndarray, " m"] | None = None,
) -> dict[str, np.ndarray]:
    """Statistics from the moments of the training split.

    Args:
      config: `standardise` and `standard_deviations` say what becomes of the motion.
      audio_mean: of the raw audio features.
      audio_std: likewise.
      motion_mean: in the diffused representation; only used, and needed, with `standardise`.
      motion_std: likewise.

    Raises:
      UserError: a length does not fit the configuration, or motion moments are missing.
    """
    statistics = identity_statistics(config)
    statistics["audio_mean"] = np.asarray(audio_mean, np.float32)
    statistics["audio_std"] = np.maximum(np.asarray(audio_std, np.float32), AUDIO_FLOOR)
    if config.standardise:
        if motion_mean is None or motion_std is None:
            raise UserError(
                "model.standardise needs the training split's motion statistics; "
                "run `jaxgesture extract` again, or set it to False"
            )
        std = np.asarray(motion_std, np.float64)
        floor = max(MOTION_FLOOR * float(np.sqrt(np.mean(std**2))), 1e-8)
        scale = config.standard_deviations * np.maximum(std, floor)
        statistics["motion_mean"] = np.asarray(motion_mean, np.float32)
        statistics["motion_scale"] = scale.astype(np.float32)
    expected = identity_statistics(config)
    for name, value in statistics.items():
        if value.shape != expected[name].shape:
            raise UserError(
                f"{name} has {value.size} entries, the model {expected[name].size}; set "
                "model.audio_size and model.feature_size to the dataset's"
            )
    return statistics


def normalise_motion(statistics: Statistics, motion: Float[Array, "*n m"]) -> Float[Array, "*n m"]:
    """Motion in the network's units, standardised in [-1, 1]."""
    return _normalise(motion, statistics["motion_mean"], statistics["motion_scale"], 1.0)


def restore_motion(statistics: Statistics, motion: Float[Array, "*n m"]) -> Float[Array, "*n m"]:
    """The inverse of `normalise_motion` inside [-1, 1]."""
    mean, scale = (_row(statistics[n], motion) for n in ("motion_mean", "motion_scale"))
    return motion * scale + mean


def normalise_audio(statistics: Statistics, audio: Float[Array, "*n a"]) -> Float[Array, "*n a"]:
    """Audio features of mean 0 and deviation 1 over the training split, cut at 10 deviations."""
    return _normalise(audio, statistics["audio_mean"], statistics["audio_std"], AUDIO_LIMIT)


def _normalise(x, mean, scale, limit):
    identity = jnp.all(mean == 0) & jnp.all(scale == 1)
    limit = jnp.where(identity, jnp.inf, limit).astype(x.dtype)
    return jnp.clip((x - _row(mean, x)) / _row(scale, x), -limit, limit)


def _row(vector, like):
    return jnp.reshape(vector, (1,) * (like.ndim - 1) + (-1,))
