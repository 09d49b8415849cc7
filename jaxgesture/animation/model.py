"""A trained base model, for people: numpy or JAX arrays in, JAX arrays out.

The three functions `encode_source`, `extract_motion` and `animate` are all that motion diffusion
and generation know of the base model.
"""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.network import AnimationNetwork, SourceCode
from jaxgesture.core import config as configuration
from jaxgesture.core import export, tree
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import AnyArray, Array, Float, PyTree

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
    """

    config: AnimationConfig
    variables: PyTree

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
        digest = hashlib.sha256()
        for name, leaf in sorted(tree.flatten(self.variables).items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(leaf).tobytes())
        return digest.hexdigest()

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

    def save(self, folder: str | os.PathLike) -> None:
        """Writes the weights and sizes into a folder that `load_animation` reads."""
        export.save(folder, STAGE, self.variables, self.config)


def load_animation(
    weights: str | os.PathLike | Mapping[str, np.ndarray], preset: str = "paper"
) -> Animation:
    """Loads a base model.

    Args:
      weights: a work directory of `jaxgesture train`, a folder written by `Animation.save`, or
        the {name: array} state dict of the released PyTorch model.
      preset: sizes of a state dict, "paper"; work directories and folders know theirs.

    Returns:
      the model with the averaged weights where training kept an average, else the last ones.

    Raises:
      UserError: if the weights are missing, or of another kind.
    """
    if isinstance(weights, Mapping):
        if preset not in PRESETS:
            hint = configuration.nearest(preset, PRESETS)
            raise UserError(f"no preset {preset!r} of the base model; {hint}")
        raise UserError(
            "reading a state dict of the PyTorch model needs the weight converter, which this "
            "version does not have; give a work directory of `jaxgesture train` instead"
        )
    folder = pathlib.Path(weights).expanduser()
    if (folder / export.FILE).is_file():
        variables, description = export.load(folder, STAGE)
        sizes = configuration.build(AnimationConfig, description["model"], name="model")
        return Animation(sizes, variables)
    network, meta = export.restore_trained(folder, "generator", STAGE)
    params = network.params if network.ema is None else network.ema
    config = configuration.build(AnimationConfig, meta["config"]["model"], name="model")
    return Animation(config, {"params": params, "batch_stats": network.stats})
