"""Motion for speech of any length: segments in order, each going on from the one before."""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.core import rng
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import Array, Bool, Float, PyTree
from jaxgesture.motion import selection
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.denoiser import AudioCode, Denoiser
from jaxgesture.motion.guidance import double, guided
from jaxgesture.motion.normalisation import (
    normalise_audio,
    normalise_motion,
    restore_motion,
)
from jaxgesture.motion.representation import to_feature, to_motion
from jaxgesture.motion.sampler import drawn_noise, make_plan, sample

# The hand-crafted features are the last 35 columns; the second of them, the first cepstral
# coefficient, is the log energy of a frame.
LOUDNESS_COLUMN = -34


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """What a segment's computation is compiled for.

    Attributes:
      candidates: segments drawn at once, of which motion selection keeps one.
      steps: sampling steps, 1 to 1000.
      sampler: "ddim", "ddpm" or "dpm++2m".
      eta: noise of "ddim".
      selection: "last" or "first", the velocities that motion selection compares.
    """

    candidates: int = 5
    steps: int = 50
    sampler: str = "ddim"
    eta: float = 1.0
    selection: str = "last"

    def __post_init__(self):
        if self.candidates < 1:
            raise UserError(f"candidates is {self.candidates}; choose at least 1")
        if self.selection not in selection.COMPARE:
            known = ", ".join(selection.COMPARE)
            raise UserError(f"selection is {self.selection!r}; choose one of {known}")
        make_plan(self.sampler, self.steps, self.eta)


@functools.partial(jax.jit, static_argnames=("config", "options"))
def sample_segment(
    config: MotionConfig,
    options: SampleOptions,
    params: PyTree,
    statistics: PyTree,
    audio: Float[Array, "t a"],
    source: Float[Array, " d"],
    previous: Float[Array, "s d"],
    first: Bool[Array, ""],
    key: Array,
    guidance: Float[Array, ""],
) -> Float[Array, "t d"]:
    """One segment of motion features; raw features in and out.

    Args:
      config: of the network.
      options: candidates, sampler, selection.
      params: of the network.
      statistics: that travel with them.
      audio: raw audio features of a whole segment.
      source: motion feature of the source image.
      previous: the last frames before the segment (`tail_frames` of them).
      first: nothing goes before; `previous` is not read.
      key: of this segment.
      guidance: weight w of the guidance.
    """
    model, k = Denoiser(config), options.candidates

    def units(feature):
        return normalise_motion(statistics, to_motion(feature, config))

    def repeat(x):
        return jnp.broadcast_to(x, (k, *x.shape[1:]))

    # The audio is the same for all candidates and steps.
    code: AudioCode = model.apply(
        {"params": params}, normalise_audio(statistics, audio)[None], method="encode_audio"
    )  # pyright: ignore
    code = double(jax.tree.map(repeat, code))
    both = {"source_feature": double(repeat(units(source)[None]))}
    if config.history_frames:
        both["history"] = double(repeat(units(previous[-config.history_frames :])[None]))
        both["history_mask"] = jnp.full((2 * k,), ~first)

    def branches(x_t, t, keep) -> Array:
        return model.apply({"params": params}, x_t, t, code, **both, keep=keep, method="denoise")  # pyright: ignore

    # A candidate's noise depends on its number alone, not on how many there are.
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(k))
    shape = (config.segment_frames, config.motion_size)
    start = drawn_noise(keys, shape)(jnp.asarray(options.steps))
    motion = sample(
        lambda x_t, t: guided(branches, x_t, t, guidance),
        start,
        make_plan(options.sampler, options.steps, options.eta),
        drawn_noise(keys, shape),
    )
    raw = restore_motion(statistics, motion)
    chosen = jnp.zeros((), jnp.int32)
    if k > 1:
        # Scored as diffused, seen as features; only the winner is worth the projection.
        features = raw if config.representation != "euler" else to_feature(raw, config)
        chosen = selection.select(
            features, previous, source, first,
            vector_size=config.vector_size, compare=options.selection,
        )  # fmt: skip
    return to_feature(raw[chosen], config)


def tail_frames(config: MotionConfig) -> int:
    """Frames of a segment that the next one needs."""
    return max(config.history_frames, selection.TAIL)


def pad_audio(
    audio: Float[np.ndarray, "n a"],
    rows: int,
    silence: Float[np.ndarray, " a"] | None = None,
) -> Float[np.ndarray, "rows a"]:
    """Audio features lengthened to `rows` by a row that stands for silence.

    Args:
      audio: raw features.
      rows: length wanted; longer audio is returned as it is.
      silence: the row; by default that of the quietest frame given, as the first cepstral
        coefficient has it. Zeros would not do: they are the average sound once normalised. Best
        is to lengthen the sound itself by digital silence before the features are computed.

    Raises:
      UserError: `silence` has another length, or is missing where there are fewer than 35 columns
        to tell the quietest frame by.
    """
    if len(audio) >= rows:
        return audio
    if silence is None:
        if audio.shape[1] < -LOUDNESS_COLUMN:
            raise UserError(
                f"audio features of {audio.shape[1]} columns hold no loudness to find silence by; "
                f"pass silence=ROW, or give features of {rows} frames"
            )
        silence = audio[audio[:, LOUDNESS_COLUMN].argmin()]
    row = np.asarray(silence, audio.dtype)
    if row.shape != audio.shape[1:]:
        raise UserError(f"silence has shape {row.shape}; give one row of {audio.shape[1]} numbers")
    tail = np.broadcast_to(row[None], (rows - len(audio), len(row)))
    return np.concatenate((audio, tail))


def sample_segments(
    config: MotionConfig,
    options: SampleOptions,
    params: PyTree,
    statistics: PyTree,
    audio: Float[np.ndarray, "n a"],
    source: Float[np.ndarray, " d"],
    *,
    seed: int,
    guidance: float,
) -> Iterator[Float[np.ndarray, "t d"]]:
    """The segments of audio padded to whole segments, each when it is done.

    A segment depends on the audio up to its own end and on the seed alone: more audio after it does
    not change it.
    """
    key = rng.stream(jax.random.key(seed), "motion")
    previous = np.broadcast_to(np.asarray(source, np.float32), (tail_frames(config), len(source)))
    frames = config.segment_frames
    for i in range(len(audio) // frames):
        segment = sample_segment(
            config, options, params, statistics, audio[i * frames : (i + 1) * frames], source,
            previous, np.asarray(i == 0), jax.random.fold_in(key, i), np.float32(guidance),
        )  # fmt: skip
        segment = np.asarray(segment, np.float32)
        previous = segment[-tail_frames(config) :]
        yield segment
