"""What is measured of the motion model, and on which inputs; batches count segments."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.benchmark.cases import TRAIN, Case
from jaxgesture.core import rng
from jaxgesture.core.types import Array, Bool, Float, Int, NumpyBatch
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.generate import tail_frames
from jaxgesture.motion.representation import to_feature
from jaxgesture.motion.sampler import drawn_noise
from jaxgesture.motion.schedule import DIFFUSION_STEPS

DENOISE, GUIDED = "denoise", "guided_denoise"
SEGMENT, SPEECH = "sample_segment", "sample_speech"
GUIDANCE = 2.0
FRAMES_PER_S = 25
SEED = 0
PERIODS = (20, 90)  # of the made-up motion, in frames


def make_cases(
    batches: Sequence[int], train_batch: int, speech: int, precisions: Sequence[str]
) -> list[Case]:
    """One pass of the network, sampling, then the training step, in each precision.

    Args:
      batches: segments of one pass.
      train_batch: segments of a training step.
      speech: segments of the long recording.
      precisions: of `cases.PRECISIONS`.
    """
    return [
        Case(task, batch, precision)
        for precision in precisions
        for task, sizes in (
            (DENOISE, batches), (GUIDED, batches), (SEGMENT, (1,)), (SPEECH, (speech,)),
            (TRAIN, (train_batch,)),
        )
        for batch in sizes
    ]  # fmt: skip


def waves(rows: int, frames: int, size: int, seed: int) -> Float[np.ndarray, "b t size"]:
    """Smooth columns in [-0.8, 0.8], float32; the first rows are the same whatever their count."""
    made, t = [], np.arange(frames)[:, None]
    for row in range(rows):
        draw = np.random.default_rng((seed, row))
        phase, period = draw.uniform(0, 2 * np.pi, size), draw.uniform(*PERIODS, size)
        made.append(draw.uniform(0.2, 0.8, size) * np.sin(phase + 2 * np.pi * t / period))
    return np.stack(made).astype(np.float32)


def features(config: MotionConfig, rows: int) -> NumpyBatch:
    """Segments as the training step takes them, in raw features of a base model.

    Returns:
      "motion" (b, t, d), "audio" (b, t, a), "source" (b, d), and for a model with history
      "history" (b, h, d) and "history_valid" (b,), false in every fourth row. Besides, "previous"
      (b, s, d): the frames that sampling goes on from.
    """
    frames, tail = config.segment_frames, tail_frames(config)
    if config.representation == "vector":
        motion = waves(rows, tail + frames, config.feature_size, SEED)
    else:
        # Made as angles, so that rotations are rotations.
        angles = waves(rows, tail + frames, (config.feature_size - 3) // 3 + 3, SEED)
        written = MotionConfig(feature_size=config.feature_size, representation="euler")
        motion = np.asarray(to_feature(jnp.asarray(angles), written), np.float32)
    made = {
        "motion": motion[:, tail:],
        "audio": 2 * waves(rows, frames, config.audio_size, SEED + 1),
        "source": motion[:, 0],
        "previous": motion[:, :tail],
    }
    if config.history_frames:
        made["history"] = motion[:, tail - config.history_frames : tail]
        made["history_valid"] = np.arange(rows) % 4 != 3
    return made


class PassInputs(NamedTuple):
    """What is random of one pass.

    Attributes:
      x_t: noised motion in the network's units.
      t: diffusion steps, spread evenly.
      noise: standard normal.
      keep: segments that keep their audio in training.
    """

    x_t: Float[np.ndarray, "b t m"]
    t: Int[np.ndarray, " b"]
    noise: Float[np.ndarray, "b t m"]
    keep: Bool[np.ndarray, " b"]


def pass_inputs(config: MotionConfig, rows: int) -> PassInputs:
    """Noised motion and noise of so many segments."""
    draw = np.random.default_rng(SEED)
    shape = (rows, config.segment_frames, config.motion_size)
    x_t, noise = draw.standard_normal((2, *shape), np.float32)
    t = ((np.arange(rows) + 0.5) / rows * DIFFUSION_STEPS).astype(np.int32)
    return PassInputs(x_t, t, noise, np.arange(rows) % 3 != 2)


def segment_key(number: int) -> Array:
    """The random key with which the package samples a recording's segment, `SEED` its seed."""
    return jax.random.fold_in(rng.stream(jax.random.key(SEED), "motion"), number)


def segment_noise(config: MotionConfig, number: int) -> Callable[[int], Float[np.ndarray, "1 t m"]]:
    """The noise of each sampling step of a segment's only candidate; the start is that of `steps`.

    It is what `motion.generate.sample_segment` draws, for a side that draws otherwise.
    """
    draws = jax.random.fold_in(segment_key(number), 0)[None]
    drawn = drawn_noise(draws, (config.segment_frames, config.motion_size))
    return lambda step: np.array(drawn(jnp.asarray(step)))
