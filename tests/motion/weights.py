"""Weights without the minutes that compiling random initialisers takes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.denoiser import Denoiser, init_params


def numpy_params(config: MotionConfig, seed: int = 0):
    """Parameters of the right shapes: scales near 1, the rest uniform as fan-in has it."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(functools.partial(init_params, config), jax.random.key(0))

    def draw(path, leaf):
        bound = 1 / np.sqrt(leaf.shape[0]) if len(leaf.shape) == 2 else 0.1
        values = rng.uniform(-bound, bound, leaf.shape)
        return jnp.asarray(values + (path[-1].key == "scale"), jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


@functools.partial(jax.jit, static_argnames=("config", "deterministic"))
def apply(config, params, *args, deterministic=True, rngs=None, **kwargs):
    """The denoiser, compiled."""
    return Denoiser(config).apply(
        {"params": params}, *args, deterministic=deterministic, rngs=rngs, **kwargs
    )
