"""Sampling of images and volumes at real-valued places, as PyTorch's `grid_sample` does it.

A place between cells needs the 2^n cells around it. Where cells are short, all 2^n are first laid
side by side, so that a place is one read of one row, and one write of one row in the backward pass:
machines read and write rows, and pay for each.
"""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxgesture.core.types import Array, Float

# Numbers of a row that machines read at once; longer rows gain nothing from being joined.
ROW = 128


Corner = tuple[int, ...]
Read = Callable[[Corner], Array]


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
    corners = list(itertools.product((0, 1), repeat=dimensions))
    joined = channels * len(corners) <= ROW
    read = _joined_cells(x, lower, corners) if joined else _single_cells(x, lower)
    total = jnp.zeros((*grid.shape[:-1], channels), x.dtype)
    for corner in corners:
        weight, inside = 1.0, True
        for d, bit in enumerate(corner):
            place = lower[d] + bit
            inside = inside & (place >= 0) & (place < sizes[d])
            weight = weight * (upper[d] if bit else 1 - upper[d])
        weight = jnp.where(inside, weight, 0.0)[..., None].astype(x.dtype)
        total = total + read(corner) * weight
    return total


def _single_cells(x: Array, lower: Sequence[Array]) -> Read:
    """Reads one corner's cells; those outside are any."""
    sizes = x.shape[1:-1]

    def read(corner: Corner) -> Array:
        places = [
            jnp.clip(i + bit, 0, n - 1) for i, bit, n in zip(lower, corner, sizes, strict=True)
        ]
        return _take(x, places)

    return read


def _joined_cells(x: Array, lower: Sequence[Array], corners: Sequence[Corner]) -> Read:
    """The same from one read of all corners; those outside are zeros, or any."""
    sizes, rank = x.shape[1:-1], x.ndim
    padded = jnp.pad(x, [(1, 1) if 0 < axis < rank - 1 else (0, 0) for axis in range(rank)])
    # Row i of an axis holds cells i - 1 and i: lower cells are -1 to n - 1.
    shifted = [
        padded[(slice(None), *(slice(b, b + n + 1) for b, n in zip(corner, sizes, strict=True)))]
        for corner in corners
    ]
    places = [jnp.clip(i, -1, n - 1) + 1 for i, n in zip(lower, sizes, strict=True)]
    rows = _take(jnp.concatenate(shifted, -1), places)
    parts = dict(zip(corners, jnp.split(rows, len(corners), -1), strict=True))
    return parts.__getitem__


def _take(x: Array, places: Sequence[Array]) -> Array:
    """The cells of a map at whole places inside it."""
    index, *following = places
    for place, size in zip(following, x.shape[2:-1], strict=True):
        index = index * size + place
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    return jax.vmap(lambda cells, i: jnp.take(cells, i, axis=0, mode="clip"))(flat, index)
