"""Motion for speech of any length: segments in order, each going on from the one before."""

import dataclasses
import functools
from collections.abc import Hashable, Iterator
from typing import NamedTuple, TypedDict

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
from jaxgesture.motion.representation import project, to_feature, to_motion
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
        if not 0 <= self.eta <= 1:
            raise UserError(f"eta is {self.eta}; choose 0 (no noise) to 1")
        if self.selection not in selection.COMPARE:
            known = ", ".join(selection.COMPARE)
            raise UserError(f"selection is {self.selection!r}; choose one of {known}")
        make_plan(self.sampler, self.steps, self.eta)


class SampleKeywords(TypedDict, total=False):
    """`SampleOptions` as keywords of a call; what is left out has the default."""

    candidates: int
    steps: int
    sampler: str
    eta: float
    selection: str


@functools.partial(jax.jit, static_argnames=("config", "options"))
def sample_segment(
    config: MotionConfig,
    options: SampleOptions,
    params: PyTree,
    statistics: PyTree,
    audio: Float[Array, "b t a"],
    source: Float[Array, "b d"],
    previous: Float[Array, "b s d"],
    first: Bool[Array, " b"],
    keys: Array,
    guidance: Float[Array, ""],
) -> Float[Array, "b t d"]:
    """One segment of motion features for each of b recordings; raw features in and out.

    All candidates of all recordings, and both branches of guidance, are one batch. What a row
    becomes does not depend on the other rows.

    Args:
      config: of the network.
      options: candidates, sampler, selection.
      params: of the network.
      statistics: that travel with them.
      audio: raw audio features of a whole segment.
      source: motion feature of the source image.
      previous: the last frames before the segment (`tail_frames` of them).
      first: nothing goes before; `previous` is not read.
      keys: (b,) random keys, of this segment.
      guidance: weight w of the guidance.
    """
    model, k = Denoiser(config), options.candidates

    def units(feature):
        return normalise_motion(statistics, to_motion(feature, config))

    def repeat(x):
        return jnp.repeat(x, k, axis=0)

    # The audio is the same for all candidates and steps.
    code: AudioCode = model.apply(
        {"params": params}, normalise_audio(statistics, audio), method="encode_audio"
    )  # pyright: ignore
    code = double(jax.tree.map(repeat, code))
    seen = source
    if config.source == "previous":
        seen = jnp.where(first[:, None], source, previous[:, -1])
    both = {"source_feature": double(repeat(units(seen)))}
    if config.history_frames:
        both["history"] = double(repeat(units(previous[:, -config.history_frames :])))
        both["history_mask"] = double(repeat(~first))

    def branches(x_t, t, keep) -> Array:
        return model.apply({"params": params}, x_t, t, audio=code, **both, keep=keep)  # pyright: ignore

    # A candidate's noise depends on its number alone, not on how many there are.
    numbered = jax.vmap(jax.random.fold_in, (None, 0))
    draws = jax.vmap(numbered, (0, None))(keys, jnp.arange(k)).reshape(-1)
    shape = (config.segment_frames, config.motion_size)
    start = drawn_noise(draws, shape)(jnp.asarray(options.steps))
    motion = sample(
        lambda x_t, t: guided(branches, x_t, t, guidance),
        start,
        make_plan(options.sampler, options.steps, options.eta),
        drawn_noise(draws, shape),
    )
    raw = restore_motion(statistics, motion)
    if k > 1:
        # Scored as what is diffused; only the winner is worth the projection. Angles beyond the
        # fold of yaw are folded, as those of the frames before are.
        scored = raw
        if config.representation == "euler":
            scored = to_motion(to_feature(raw, config), config)
        score = functools.partial(
            selection.select, vector_size=config.vector_size, compare=options.selection
        )
        chosen = jax.vmap(score)(
            scored.reshape(len(audio), k, *raw.shape[1:]), to_motion(previous, config),
            to_motion(source, config), first,
        )  # fmt: skip
        raw = raw[jnp.arange(len(audio)) * k + chosen]
    return to_feature(raw, config)


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


class Speech(NamedTuple):
    """What the motion of one recording is made from.

    Attributes:
      audio: raw audio features of whole segments, (n, a).
      source: motion feature of the source image, (d,).
      seed: of all its noise.
      frames: frames wanted, at most n.
    """

    audio: Float[np.ndarray, "n a"]
    source: Float[np.ndarray, " d"]
    seed: int
    frames: int


@dataclasses.dataclass
class _Row:
    """A recording that is being worked on: segments done, their last frames, frames held back."""

    speech: Speech
    key: Array
    previous: np.ndarray
    held: np.ndarray | None = None
    done: int = 0


class SegmentBatch:
    """Several recordings at once, a segment of each at a time, in one compiled shape.

    A segment depends on its recording's audio up to its own end and on its seed alone: neither
    later audio nor the other recordings change it (but for rounding, which differs between numbers
    of rows). Rows that nothing is left for repeat another one.

    Args:
      config: of the network.
      options: candidates, sampler, selection.
      params: of the network.
      statistics: that travel with them.
      rows: recordings at once; the memory needed grows with it, not with their lengths.
      guidance: weight of the guidance.
      smooth_seams: replace the frames around each seam by a spline (`selection.smooth_seam`); the
        last frames of a segment then come with the next one.

    Raises:
      UserError: fewer than one row, or segments too short to smooth their seams.
    """

    def __init__(
        self,
        config: MotionConfig,
        options: SampleOptions,
        params: PyTree,
        statistics: PyTree,
        *,
        rows: int,
        guidance: float,
        smooth_seams: bool = False,
    ):
        if rows < 1:
            raise UserError(f"{rows} recordings cannot be worked on at once; choose 1 or more")
        if smooth_seams and config.segment_frames < 2 * selection.SEAM:
            raise UserError(
                f"seams of segments of {config.segment_frames} frames cannot be smoothed; at least "
                f"{2 * selection.SEAM} are needed"
            )
        self.rows = rows
        self._config, self._options = config, options
        self._params, self._statistics = params, statistics
        self._guidance = np.float32(guidance)
        self._smooth_seams = smooth_seams
        self._active: dict[Hashable, _Row] = {}

    @property
    def free(self) -> int:
        """Recordings that may be added now."""
        return self.rows - len(self._active)

    def add(self, name: Hashable, speech: Speech) -> None:
        """Takes a recording up; its first segment is in the next `step`."""
        if not self.free or name in self._active:
            raise ValueError(f"no row for {name!r}")
        source = np.asarray(speech.source, np.float32)
        previous = np.broadcast_to(source, (tail_frames(self._config), len(source)))
        key = rng.stream(jax.random.key(speech.seed), "motion")
        self._active[name] = _Row(speech, key, previous)

    def drop(self, name: Hashable) -> None:
        """Gives a recording up, if it is still being worked on."""
        self._active.pop(name, None)

    def step(self) -> list[tuple[Hashable, Float[np.ndarray, "t d"], bool]]:
        """Samples the next segment of every recording.

        Returns:
          the name, its next frames (the last are cut to the length wanted), and whether they were
          the last,
          in which case the recording's row is free again. Nothing where nothing is left to do.
        """
        if not self._active:
            return []
        size, active = self._config.segment_frames, dict(self._active)
        rows = list(active.values())
        rows += rows[:1] * self.free
        begin = [row.done * size for row in rows]
        motion = np.asarray(
            sample_segment(
                self._config, self._options, self._params, self._statistics,
                np.stack([r.speech.audio[b : b + size] for r, b in zip(rows, begin, strict=True)]),
                np.stack([row.speech.source for row in rows]),
                np.stack([row.previous for row in rows]),
                np.asarray([row.done == 0 for row in rows]),
                jnp.stack([jax.random.fold_in(row.key, row.done) for row in rows]),
                self._guidance,
            ),
            np.float32,
        )  # fmt: skip
        made = []
        for (name, row), segment in zip(active.items(), motion[: len(active)], strict=True):
            left = row.speech.frames - row.done * size
            row.done += 1
            # A copy, which does not hold the whole batch in memory.
            row.previous = segment[-tail_frames(self._config) :].copy()
            if left <= size:
                self.drop(name)
            frames = segment[:left]
            if self._smooth_seams:
                frames = self._smoothed(row, frames, left <= size)
            made.append((name, frames, left <= size))
        return made

    def _smoothed(self, row: _Row, frames: np.ndarray, last: bool) -> np.ndarray:
        """What can be given out of a segment, the seam before it smoothed."""
        seam = selection.SEAM
        if row.held is not None:
            frames = selection.smooth_seam(np.concatenate((row.held, frames)), seam)
            around = frames[: 2 * seam]
            frames[: 2 * seam] = np.asarray(project(jnp.asarray(around), self._config))
        if last:
            return frames
        row.held = frames[-seam:].copy()
        return frames[:-seam]

    def run(self, speech: Speech) -> Iterator[Float[np.ndarray, "t d"]]:
        """The segments of one recording, each when it is done."""
        self.add(None, speech)
        last = False
        while not last:
            ((_, segment, last),) = self.step()
            yield segment
