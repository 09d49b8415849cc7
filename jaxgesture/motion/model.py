"""A trained motion model, for people: numpy or JAX arrays in, numpy arrays out."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.convert import motion as released
from jaxgesture.core import config as configuration
from jaxgesture.core import export, weight_files
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import Array, Float, Int, PyTree
from jaxgesture.data.audio import AUDIO_SIZE, BASELINE
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.denoiser import Denoiser, init_params
from jaxgesture.motion.generate import (
    SampleKeywords,
    SampleOptions,
    SegmentBatch,
    Speech,
    pad_audio,
)
from jaxgesture.motion.guidance import double, guided
from jaxgesture.motion.normalisation import (
    NAMES,
    identity_statistics,
    normalise_audio,
    normalise_motion,
    restore_motion,
)
from jaxgesture.motion.representation import to_motion
from jaxgesture.motion.step import DENOISER

STAGE = "motion"
PRESETS = {
    "paper": MotionConfig(),
    "s2g": MotionConfig(
        feature_size=200, representation="vector", history_frames=0, source="previous"
    ),
}


@functools.partial(jax.jit, static_argnums=0)
def _denoise(config, variables, x_t, t, audio, source, history, weight):
    """Predicted clean motion; one pass without a weight, both branches in one batch with it."""
    model, stats = Denoiser(config), variables["stats"]

    def units(feature):
        return normalise_motion(stats, to_motion(feature, config))

    inputs = {"audio": normalise_audio(stats, audio), "source_feature": units(source)}
    if history is not None:
        inputs["history"] = units(history)
    params = {"params": variables["params"]}
    if weight is None:
        return model.apply(params, x_t, t, **inputs)  # pyright: ignore
    both = double(inputs)

    def branches(x, steps, keep) -> Array:
        return model.apply(params, x, steps, **both, keep=keep)  # pyright: ignore

    return guided(branches, x_t, t, weight)


@dataclasses.dataclass(frozen=True)
class Motion:
    """A motion diffusion model with its weights.

    Attributes:
      config: its sizes.
      variables: {"params": ..., "stats": ...}; `stats` are the normalisation's four vectors.
      animation_sha256: hash of the base model whose features it writes; empty if unknown.
      features: name of the audio features that it reads.
    """

    config: MotionConfig
    variables: PyTree
    animation_sha256: str = ""
    features: str = BASELINE

    @property
    def feature_size(self) -> int:
        """Length of the motion features it writes."""
        return self.config.feature_size

    @property
    def audio_size(self) -> int:
        """Columns of the audio features it reads."""
        return self.config.audio_size

    def sample(
        self,
        audio_features: Float[np.ndarray, "n a"],
        *,
        source_feature: Float[np.ndarray, " d"],
        seed: int = 0,
        guidance: float = 2.0,
        frames: int | None = None,
        silence: Float[np.ndarray, " a"] | None = None,
        smooth_seams: bool = False,
        **options: Unpack[SampleKeywords],
    ) -> Float[np.ndarray, "t d"]:
        """Writes motion features for speech of any length, a function of its arguments alone.

        Args:
          audio_features: raw features, 25 rows a second from the start of the speech. Whole
            segments are sampled, so the last may need rows after the end of the speech: give them
            (features of the speech followed by silence, and `frames`), or `pad_audio` makes them.
          source_feature: motion feature of the source image.
          seed: of all noise.
          guidance: 0 ignores the audio, 1 follows it, above 1 exaggerates it.
          frames: frames wanted, at most the rows given; by default all rows.
          silence: raw feature row that pads the last segment, see `pad_audio`.
          smooth_seams: replace the frames around each seam by a spline, as S2G-MDDiffusion does.
          **options: candidates=5, the segments drawn at once, of which motion selection keeps one;
            steps=50, the sampling steps a segment, 1 to 1000; sampler="ddim", "ddpm" or "dpm++2m";
            eta=1.0, the noise of "ddim", 0 to 1; selection="last" (published) or "first"
            (natural), the velocities that are compared.

        Returns:
          Motion features, one a frame, float32.

        Raises:
          UserError: sizes that do not fit the model, features that are not finite, or options
            out of range.
        """
        speech = self.speech(
            audio_features, source_feature=source_feature, seed=seed, frames=frames, silence=silence
        )
        batch = self.batch(1, guidance=guidance, smooth_seams=smooth_seams, **options)
        return np.concatenate(list(batch.run(speech)))

    def speech(
        self,
        audio_features: Float[np.ndarray, "n a"],
        *,
        source_feature: Float[np.ndarray, " d"],
        seed: int = 0,
        frames: int | None = None,
        silence: Float[np.ndarray, " a"] | None = None,
    ) -> Speech:
        """What one recording of a `batch` is made from; arguments and errors as for `sample`."""
        audio = self._audio(audio_features)
        source = self._source(source_feature)
        frames = len(audio) if frames is None else frames
        check_seed(seed)
        if not 1 <= frames <= len(audio):
            raise UserError(f"frames is {frames}; choose 1 to the {len(audio)} rows of audio")
        size = self.config.segment_frames
        padded = -(-frames // size) * size
        return Speech(pad_audio(audio, padded, silence)[:padded], source, seed, frames)

    def batch(
        self,
        rows: int,
        *,
        guidance: float = 2.0,
        smooth_seams: bool = False,
        **options: Unpack[SampleKeywords],
    ) -> SegmentBatch:
        """Several recordings at once, segment by segment: a batch to add a `speech` to.

        Args and errors are those of `sample`; `rows` is how many recordings at once. A batch of one
        row can `run` a speech, which gives each segment when it is done.
        """
        if not abs(guidance) < 1e6:
            raise UserError(f"guidance is {guidance}; choose a small number, 2 is usual")
        return SegmentBatch(
            self.config, SampleOptions(**options), self.variables["params"],
            self.variables["stats"], rows=rows, guidance=guidance, smooth_seams=smooth_seams,
        )  # fmt: skip

    def denoise(
        self,
        x_t: Float[Array, "b t m"],
        t: Int[Array, " b"],
        *,
        audio: Float[Array, "b t a"],
        source_feature: Float[Array, "b d"],
        history: Float[Array, "b h d"] | None = None,
        guidance: float | None = None,
    ) -> Float[Array, "b t m"]:
        """One pass of the network: the clean motion predicted from noised motion.

        Args:
          x_t: noised motion in the network's units and representation, whole segments.
          t: diffusion steps, 0 to 999.
          audio: raw audio features.
          source_feature: motion feature of the source image; for a model whose `config.source` is
            "previous", of the frame before the segment.
          history: motion features before the segment; None stands for none.
          guidance: None is the plain conditional pass, 0.0 the unconditional.

        Returns:
          Motion in the network's units, not clipped; `restore` undoes the units.

        Raises:
          UserError: a shape does not fit the model.
        """
        config, b = self.config, len(x_t)
        wanted = {
            "x_t": (x_t, (b, config.segment_frames, config.motion_size)),
            "t": (t, (b,)),
            "audio": (audio, (b, config.segment_frames, config.audio_size)),
            "source_feature": (source_feature, (b, config.feature_size)),
        }
        if history is not None:
            if not config.history_frames:
                raise UserError("this model has no history; leave it out")
            wanted["history"] = (history, (b, config.history_frames, config.feature_size))
        for name, (value, shape) in wanted.items():
            if jnp.shape(value) != shape:
                raise UserError(f"{name} has shape {jnp.shape(value)}; this model takes {shape}")
        return _denoise(
            self.config, self.variables, jnp.asarray(x_t), jnp.asarray(t), jnp.asarray(audio),
            jnp.asarray(source_feature), None if history is None else jnp.asarray(history),
            guidance,
        )  # fmt: skip

    def restore(self, motion: Float[Array, "*n m"]) -> Float[Array, "*n m"]:
        """Motion from the network's units to those of the representation."""
        return restore_motion(self.variables["stats"], jnp.asarray(motion))

    def save(self, folder: str | os.PathLike) -> None:
        """Writes the weights and sizes into a folder that `load_motion` reads."""
        export.save(
            folder, STAGE, self.variables, self.config,
            animation_sha256=self.animation_sha256, features=self.features,
        )  # fmt: skip

    def _audio(self, features: Any) -> np.ndarray:
        audio = np.asarray(features, np.float32)
        if audio.ndim != 2 or audio.shape[1] != self.audio_size or not len(audio):
            raise UserError(
                f"expected audio features of shape (frames, {self.audio_size}), got "
                f"{audio.shape}; compute them as for the training data"
            )
        if not np.isfinite(audio).all():
            raise UserError("the audio features are not finite; check the sound for NaN samples")
        return audio

    def _source(self, feature: Any) -> np.ndarray:
        source = np.asarray(feature, np.float32)
        if source.shape != (self.feature_size,) or not np.isfinite(source).all():
            raise UserError(
                f"expected one finite source feature of length {self.feature_size}, got "
                f"{source.shape}; use the base model that this motion model was trained with"
            )
        return source


def check_seed(seed: int) -> None:
    """Refuses what is no seed.

    Raises:
      UserError: outside 0 to 2^32 - 1.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"seed is {seed}; choose 0 to {2**32 - 1}")


def load_motion(
    weights: str | os.PathLike | Mapping[str, Any], preset: str | MotionConfig = "paper"
) -> Motion:
    """Loads a motion model.

    Args:
      weights: a work directory of `jaxgesture train`, a folder written by `Motion.save`, or a
        PyTorch model with the names of S2G-MDDiffusion: its file, or its state dict of arrays or
        tensors by name, which are copied. Of a training checkpoint the average is taken; what else
        it holds, its normaliser included, is not read (see `convert.motion`).
      preset: sizes of a weight file or state dict: "s2g" for the published S2G-MDDiffusion,
        "paper", or any. Folders know theirs.

    Returns:
      The model with the averaged weights where training kept an average, else the last ones. A
      file or state dict without "statistics.*", as all published ones are, gives a model that
      leaves audio and motion as they are: give it what the network takes, scaled as for its
      training. Of more than the
      hand-crafted audio columns it does not say which WavLM made them; `features` is then "wavlm-"
      and their number, and generation refuses it until `dataclasses.replace` names an extractor's.

    Raises:
      UserError: if the weights are missing, damaged, of another kind or of other sizes; of a state
        dict, everything that does not fit is in one message.
    """
    if isinstance(weights, Mapping):
        return _from_torch(weights, preset, "the state dict")
    folder = pathlib.Path(weights).expanduser()
    if weight_files.is_one(folder):
        return _from_torch(folder, preset, str(folder))
    if (folder / export.FILE).is_file():
        variables, description = export.load(folder, STAGE)
        config = configuration.build(MotionConfig, description["model"], name="model")
        return Motion(config, variables, description["animation_sha256"], _features(description))
    network, meta = export.restore_trained(folder, DENOISER, STAGE)
    config = configuration.build(MotionConfig, meta["config"]["model"], name="model")
    stats = {name: network.stats[name] for name in NAMES}
    variables = {"params": network.eval_params, "stats": stats}
    return Motion(config, variables, meta["weights_sha256"], _features(meta))


def _from_torch(
    weights: pathlib.Path | Mapping[str, Any], preset: str | MotionConfig, source: str
) -> Motion:
    sizes = configuration.choose(preset, PRESETS, "motion model")
    is_file = isinstance(weights, pathlib.Path)
    arrays = released.read(weights) if is_file else released.state_dict_of(weights, source)
    params = jax.eval_shape(functools.partial(init_params, sizes), jax.random.key(0))
    identity = identity_statistics(sizes)
    found = released.from_torch(arrays, {"params": params, "stats": identity}, source)
    variables = jax.tree.map(jnp.asarray, {"stats": identity, **found})
    plain = sizes.audio_size == AUDIO_SIZE
    return Motion(sizes, variables, features=BASELINE if plain else f"wavlm-{sizes.audio_size}")


def _features(description: Mapping[str, Any]) -> str:
    """The name of the audio features; models that state none are older than all others of them."""
    return description["features"] if "features" in description else BASELINE
