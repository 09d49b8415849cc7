"""Sampling of images and volumes at real-valued places, as PyTorch's `grid_sample` does it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.core.types import Array, Float


def _index(coordinate: Array, size: int, align_corners: bool) -> Array:
    if align_corners:
        return (coordinate + 1) * 0.5 * (size - 1)
    return ((coordinate + 1) * size - 1) * 0.5


def grid_sample(
    x: Float[Array, "b *space c"],
    grid: Float[Array, "b *out n"],
    *,
    align_corners: bool = False,
    padding: str = "zeros",
) -> Float[Array, "b *out c"]:
    """Linear interpolation of `x` at `grid`, in two or three dimensions.

    Args:
      x: the map or volume, axes (height, width) or (depth, height, width), channels last.
      grid: places in [-1, 1], the last axis ordered (x, y) or (x, y, z).
      align_corners: whether -1 and 1 are the centres of the outer cells (else their outer edges).
      padding: "zeros" outside, or "border" for the nearest cell.

    Returns:
      the samples, in the type of `x`.
    """
    sizes, channels, dimensions = x.shape[1:-1], x.shape[-1], grid.shape[-1]
    places = [
        _index(grid[..., dimensions - 1 - d], sizes[d], align_corners) for d in range(dimensions)
    ]
    if padding == "border":
        places = [jnp.clip(p, 0, n - 1) for p, n in zip(places, sizes, strict=True)]
    floors = [jnp.floor(p) for p in places]
    upper = [p - f for p, f in zip(places, floors, strict=True)]
    lower = [f.astype(jnp.int32) for f in floors]
    strides = [int(np.prod(sizes[d + 1 :])) for d in range(dimensions)]
    flat = x.reshape(x.shape[0], -1, channels)
    take = jax.vmap(lambda cells, index: jnp.take(cells, index, axis=0, mode="clip"))
    total = jnp.zeros((*grid.shape[:-1], channels), x.dtype)
    for corner in itertools.product((0, 1), repeat=dimensions):
        index, weight, inside = 0, 1.0, True
        for d, bit in enumerate(corner):
            place = lower[d] + bit
            inside = inside & (place >= 0) & (place < sizes[d])
            index = index + jnp.clip(place, 0, sizes[d] - 1) * strides[d]
            weight = weight * (upper[d] if bit else 1 - upper[d])
        weight = jnp.where(inside, weight, 0.0)[..., None].astype(x.dtype)
        total = total + take(flat, index) * weight
    return total
