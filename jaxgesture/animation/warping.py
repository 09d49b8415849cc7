"""Warping calculator (arXiv 2409.17674, eq. 4), a pure function.

The enhanced feature is read as a one-channel volume whose depth is its channel axis. Output voxel
p = (x_w, y_h, z_d), on the lattice 2 i / (n - 1) - 1 of each axis, is sampled at
    q = p + (R_hw @ p + t),
trilinearly, with zeros outside, at index ((q + 1) n - 1) / 2 of each axis: the lattice is that of
aligned corners and the sampling is not, as the published weights expect.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.core.types import Array, Float
from jaxgesture.layers.norm import at_least_float32
from jaxgesture.layers.sampling import grid_sample


@functools.cache
def _lattice(n: int) -> np.ndarray:
    # linspace differs from this in the last bit, which the deep volume magnifies.
    i = np.arange(n, dtype=np.float32)
    return (np.float32(2) * i / np.float32(max(n - 1, 1)) - np.float32(1)).astype(np.float32)


def sampling_places(
    rotation: Float[Array, "b h w 3 3"], translation: Float[Array, "b 3"], depth: int
) -> Float[Array, "b h w z 3"]:
    """The places q, ordered (x, y, z), at which each output voxel reads the volume."""
    _, h, w, _, _ = rotation.shape
    shape = (1, h, w, depth)
    x = jnp.broadcast_to(_lattice(w)[None, None, :, None], shape)
    y = jnp.broadcast_to(_lattice(h)[None, :, None, None], shape)
    z = jnp.broadcast_to(_lattice(depth)[None, None, None, :], shape)
    rotation, translation = at_least_float32(rotation), at_least_float32(translation)

    def row(i, p):
        r = rotation[:, :, :, i]
        # Three products summed in order: a matrix product may run at low precision.
        rotated = r[..., 0:1] * x + r[..., 1:2] * y + r[..., 2:3] * z
        return p + (rotated + translation[:, i][:, None, None, None])

    return jnp.stack([row(0, x), row(1, y), row(2, z)], -1)


@jax.named_scope("warp")
def warp(
    feature: Float[Array, "b h w z"],
    rotation: Float[Array, "b h w 3 3"],
    translation: Float[Array, "b 3"],
) -> Float[Array, "b h w z"]:
    """The feature volume moved by one rotation per cell and one translation per image."""
    depth = feature.shape[-1]
    x, y, z = jnp.unstack(sampling_places(rotation, translation, depth), axis=-1)
    # The volume's axes are (height, width, depth), and grid_sample names the last axis first.
    order = jnp.stack([z, x, y], -1)
    return grid_sample(feature[..., None], order, align_corners=False)[..., 0]
