"""A trained base model, for people: numpy or JAX arrays in, JAX arrays out.

The three functions `encode_source`, `extract_motion` and `animate` are all that motion diffusion
and generation know of the base model.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.network import AnimationNetwork, SourceCode
from jaxgesture.convert import animation as released
from jaxgesture.core import config as configuration
from jaxgesture.core import export, tree, weight_files
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import AnyArray, Array, Float, NumpyBatch, PyTree

STAGE = "animation"
PRESETS = {"paper": AnimationConfig()}


@functools.partial(jax.jit, static_argnums=0)
def encode_source(config: AnimationConfig, variables: PyTree, image: Array) -> SourceCode:
    """The source code of images (b, h, w, 3), float in [0, 1]."""
    return AnimationNetwork(config).apply(variables, image, method="encode_source")  # pyright: ignore


@functools.partial(jax.jit, static_argnums=0)
def extract_motion(config: AnimationConfig, variables: PyTree, image: Array) -> Array:
    """The motion features (b, d) of images (b, h, w, 3), float in [0, 1]."""
    return AnimationNetwork(config).apply(variables, image, method="extract_motion")  # pyright: ignore


@functools.partial(jax.jit, static_argnums=0)
def animate(
    config: AnimationConfig, variables: PyTree, source: SourceCode, feature: Array
) -> Array:
    """Images (b, h, w, 3) of one source code (batch 1), or of b of them, in b poses."""
    batch = feature.shape[0]
    source = jax.tree.map(lambda x: jnp.broadcast_to(x, (batch, *x.shape[1:])), source)
    return AnimationNetwork(config).apply(variables, source, feature, method="animate")  # pyright: ignore


@dataclasses.dataclass(frozen=True)
class Animation:
    """A base model with its weights.

    Attributes:
      config: its sizes.
      variables: {"params": ..., "batch_stats": ...}, float32.
      counters: {module: training batches it has seen} of a released model, which `state_dict`
        hands back; no result depends on them.
    """

    config: AnimationConfig
    variables: PyTree
    counters: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def size(self) -> int:
        """Side of its images in pixels."""
        return self.config.size

    @property
    def feature_size(self) -> int:
        """Length of its motion features."""
        return self.config.feature_size

    @functools.cached_property
    def sha256(self) -> str:
        """A hash of all weights; motion datasets name it, and generation checks it."""
        return tree.sha256(self.variables)

    def _images(self, image: Any) -> tuple[Array, bool]:
        image = jnp.asarray(image)
        if image.dtype == jnp.uint8 or image.shape[-3:] != (self.size, self.size, 3):
            raise UserError(
                f"expected an image of shape ({self.size}, {self.size}, 3) and floats in [0, 1], "
                f"got {image.shape} {image.dtype}; jaxgesture.read_image(path, "
                f"size={self.size}) makes one of any picture"
            )
        return (image, True) if image.ndim == 4 else (image[None], False)

    def encode_source(self, image: Float[AnyArray, "h w 3"]) -> SourceCode:
        """Everything that rendering needs of a source image, computed once.

        Args:
          image: floats in [0, 1], of this model's size; a leading batch axis is allowed.

        Raises:
          UserError: for another shape or type.
        """
        return encode_source(self.config, self.variables, self._images(image)[0])

    def extract_motion(self, image: Float[AnyArray, "h w 3"]) -> Float[Array, "d"]:
        """The motion feature of an image (of each, with a leading batch axis), in [-1, 1].

        Raises:
          UserError: for another shape or type.
        """
        images, batched = self._images(image)
        feature = extract_motion(self.config, self.variables, images)
        return feature if batched else feature[0]

    def animate(self, source: SourceCode, feature: Float[AnyArray, "d"]) -> Float[Array, "h w 3"]:
        """The source redrawn in the pose of a motion feature; a batch of them gives a batch.

        Raises:
          UserError: if the feature belongs to another model.
        """
        feature = jnp.asarray(feature, jnp.float32)
        if feature.shape[-1] != self.feature_size or feature.ndim > 2:
            raise UserError(
                f"expected motion features of length {self.feature_size}, got {feature.shape}; "
                "were they made by another model?"
            )
        batched = feature.ndim == 2
        images = animate(self.config, self.variables, source, feature if batched else feature[None])
        return images if batched else images[0]

    def state_dict(self) -> NumpyBatch:
        """The weights in the names and layouts of the released PyTorch model, without "module."."""
        return released.to_torch(self.variables, self.counters)

    def save(self, folder: str | os.PathLike) -> None:
        """Writes the weights and sizes into a folder that `load_animation` reads.

        Raises:
          UserError: if the folder cannot be written.
        """
        export.save(folder, STAGE, self.variables, self.config, counters=dict(self.counters))


def load_animation(
    weights: str | os.PathLike | Mapping[str, Any], preset: str | AnimationConfig = "paper"
) -> Animation:
    """Loads a base model.

    Args:
      weights: a work directory of `jaxgesture train`, a folder written by `Animation.save`, or the
        released PyTorch model: its weight file (see `core.weight_files.read`), or its state dict
        of arrays or tensors by name, which are copied.
      preset: sizes of a weight file or state dict: "paper", or any. Folders know theirs.

    Returns:
      the model with the averaged weights where training kept an average, else the last ones.

    Raises:
      UserError: if the weights are missing, damaged, of another kind or of other sizes; of a state
        dict, everything that does not fit is in one message.
    """
    if isinstance(weights, Mapping):
        return _from_torch(weights, preset, "the state dict")
    path = pathlib.Path(weights).expanduser()
    if weight_files.is_one(path):
        return _from_torch(path, preset, str(path))
    if (path / export.FILE).is_file():
        variables, description = export.load(path, STAGE)
        sizes = configuration.build(AnimationConfig, description["model"], name="model")
        return Animation(sizes, variables, description.get("counters", {}))
    network, meta = export.restore_trained(path, "generator", STAGE)
    config = configuration.build(AnimationConfig, meta["config"]["model"], name="model")
    return Animation(config, {"params": network.eval_params, "batch_stats": network.stats})


def _from_torch(
    weights: pathlib.Path | Mapping[str, Any], preset: str | AnimationConfig, source: str
) -> Animation:
    sizes = configuration.choose(preset, PRESETS, "base model")
    is_file = isinstance(weights, pathlib.Path)
    state_dict = weight_files.read(weights) if is_file else weight_files.plain(weights, source)
    image = jax.ShapeDtypeStruct((1, sizes.size, sizes.size, 3), jnp.float32)
    template = jax.eval_shape(AnimationNetwork(sizes).init, jax.random.key(0), image, image)
    variables, counters = released.from_torch(state_dict, template, source)
    return Animation(sizes, jax.tree.map(jnp.asarray, variables), counters)
