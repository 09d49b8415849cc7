"""A base model of the smallest sizes, with weights that need no compilation."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.network import AnimationNetwork

SIZES: dict[str, Any] = {
    "size": 64,
    "encoder_widths": (8, 8, 8, 16),
    "enhancer_blocks": 1,
    "enhancer_widths": (16, 16),
    "extractor_stem": 8,
    "extractor_widths": (8, 16, 16),
    "extractor_blocks": (1, 0, 0),
    # At one pixel a normalisation group must have several channels, or it says nothing.
    "motion_widths": (8, 8, 32, 32, 8, 8, 8, 8),
    "motion_blocks": 0,
    "decoder_blocks": 1,
    "decoder_widths": (16, 8, 8),
    "head_slope": 4.0,
}
TINY = AnimationConfig(**SIZES)


def shapes(config: AnimationConfig) -> Any:
    """{"params": ..., "batch_stats": ...} as shape structs."""
    image = jax.ShapeDtypeStruct((1, config.size, config.size, 3), jnp.float32)
    return jax.eval_shape(AnimationNetwork(config).init, jax.random.key(0), image, image)


def numpy_variables(config: AnimationConfig = TINY, seed: int = 0) -> Any:
    """Variables of the right shapes: scales and variances near 1, kernels as fan-in has it.

    The heads of the angles are strong, so that the motion feature depends on the image.
    """
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        names = [part.key for part in path]
        bound = np.sqrt(3 / np.prod(leaf.shape[:-1])) if len(leaf.shape) > 1 else 0.1
        values = rng.uniform(-bound, bound, leaf.shape)
        if names[-2].startswith("fc_") and names[-1] == "kernel":
            values *= 4
        return jnp.asarray(values + (names[-1] in ("scale", "var")), jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes(config))


@functools.partial(jax.jit, static_argnames=("config", "method"))
def apply(config: AnimationConfig, variables: Any, *args: Any, method: str = "__call__") -> Any:
    """A method of the network, compiled."""
    return AnimationNetwork(config).apply(variables, *args, method=method)  # pyright: ignore


def pictures(count: int, seed: int = 0, size: int = TINY.size) -> np.ndarray:
    """Smooth pictures, float32 (count, size, size, 3) in [0, 1]."""
    y, x = np.mgrid[:size, :size] / size
    rng = np.random.default_rng(seed)
    waves = 0.0
    for fx, fy in ((1, 0), (0, 1), (2, 1), (3, 2)):
        phase = rng.uniform(0, 2 * np.pi, (count, 1, 1, 3))
        waves = waves + np.sin(2 * np.pi * (fx * x + fy * y)[None, ..., None] + phase)
    return (0.5 + np.asarray(waves) / 8).astype(np.float32)


def ablated(**changes: Any) -> AnimationConfig:
    """The smallest model with parts left out, or with other changes."""
    return dataclasses.replace(TINY, **changes)
