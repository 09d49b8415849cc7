"""Rotary position embedding (arXiv 2104.09864).

The pair (2i, 2i + 1) of a vector of width w at position p turns by the angle
p * 10000^(-2i/w):  (a, b) -> (a cos - b sin, b cos + a sin).
"""

import jax.numpy as jnp
import numpy as np

from jaxgesture.core.types import Array, Float

BASE = 10000.0


def frequencies(width: int) -> np.ndarray:
    """Radians a position for each pair, float32 `(width / 2,)`; width is even."""
    # float32 exponents and float64 powers rounded once: the correctly rounded constants.
    exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    return (1.0 / BASE ** exponents.astype(np.float64)).astype(np.float32)


def rotate(x: Float[Array, "b t c"], positions: np.ndarray) -> Float[Array, "b t c"]:
    """Turns each vector by its position; negative positions are allowed.

    Args:
      x: vectors of even width.
      positions: `(t,)` integers, known when the function is traced.

    Returns:
      The turned vectors in the type of `x`.
    """
    # float32 angles made once with numpy: XLA's sine of a large float32 differs between backends.
    angles = positions.astype(np.float32)[:, None] * frequencies(x.shape[-1])[None]
    cos = jnp.asarray(np.cos(angles))[None].astype(x.dtype)
    sin = jnp.asarray(np.sin(angles))[None].astype(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = jnp.stack((even * cos - odd * sin, odd * cos + even * sin), axis=-1)
    return turned.reshape(x.shape)
