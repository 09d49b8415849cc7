"""Resizing of channels-last maps, with PyTorch's conventions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgesture.core.types import Array, Float


def nearest_down2(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Keeps pixels 0, 2, 4, ... of both axes."""
    return x[:, ::2, ::2]


def nearest_up2(x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w c"]:
    """Repeats every pixel twice along both axes."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


def average_pool2(x: Float[Array, "b h w c"]) -> Float[Array, "b h//2 w//2 c"]:
    """Mean over 2 x 2 squares."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def max_pool3(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Maximum over 3 x 3 windows, stride 2, padded by one with minus infinity."""
    pads = ((0, 0), (1, 1), (1, 1), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pads)


def bilinear(x: Float[Array, "b h w c"], size: int) -> Float[Array, "b s s c"]:
    """Bilinear resize with half-pixel centres and no anti-aliasing."""
    shape = (x.shape[0], size, size, x.shape[3])
    return jax.image.resize(x, shape, "bilinear", antialias=False)


@functools.cache
def _blur_kernel(factor: int) -> np.ndarray:
    sigma = (factor - 1) / 2
    radius = round(4 * sigma)
    positions = np.arange(-radius, radius + 1, dtype=np.float64)
    kernel = np.exp(-(positions**2) / (2 * sigma**2))
    return (kernel / kernel.sum()).astype(np.float32)


@jax.named_scope("pyramid")
def blur_downsample(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c"]:
    """One level of an anti-aliased pyramid: Gaussian blur, then every `factor`-th pixel from 0.

    The blur is separable with sigma (factor - 1) / 2, cut at 4 sigma, zero padded; factor 1 is
    the identity. This is the pyramid of the First Order Motion Model (arXiv 2003.00196).
    """
    if factor == 1:
        return x
    kernel = jnp.asarray(_blur_kernel(factor), x.dtype)
    channels, radius = x.shape[-1], len(_blur_kernel(factor)) // 2
    per_channel = functools.partial(
        lax.conv_general_dilated,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=channels,
        precision=lax.Precision.HIGHEST,  # a few taps; accelerators would round the image
    )
    weights = jnp.broadcast_to(kernel[:, None, None, None], (len(kernel), 1, 1, channels))
    x = per_channel(x, weights, (factor, 1), ((radius, radius), (0, 0)))
    return per_channel(x, weights.swapaxes(0, 1), (1, factor), ((0, 0), (radius, radius)))
