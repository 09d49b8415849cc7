"""Losses on the maps of frozen networks, and their companions on pixels.

Global (arXiv 2409.17674, eq. 8; First Order Motion Model, arXiv 2003.00196), for VGG-19 maps
phi_k at relu1_1 ... relu5_1 of the normalised images:
    T[s, k] = mean |phi_k(blur_s(generated)) - phi_k(blur_s(real))|,   loss = weight * sum T.
Local (eq. 9), for maps phi_k of an image in [0, 1], not normalised, behind VGG-16's first three
max-pools, of c x h x w numbers each, with Gram matrices G = F F^T of F (c, h w):
    feature = sum_k mean |phi_k(generated) - phi_k(real)|,
    style   = sum_k mean |G_k(generated) - G_k(real)| / (c h w).
The real image never carries a gradient. Values are per example wherever a caller may want to
leave examples out.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxgesture.core.errors import UserError
from jaxgesture.core.types import Array, Float
from jaxgesture.layers.resize import blur_downsample
from jaxgesture.perceptual import layout, vgg
from jaxgesture.perceptual.layout import FeatureParams
from jaxgesture.perceptual.vgg import VGG16, VGG16_LOCAL_TAPS, VGG19, VGG19_PYRAMID_TAPS

EMPTY = 1e-12  # added to the size of a mask, so that an empty one gives zero

Maps = Sequence[Float[Array, "b h w c"]]
Recompute = Callable[[Callable[..., Any]], Callable[..., Any]]


def no_recompute(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself: the backward pass keeps all that it needs."""
    return function


def absolute(x: Array) -> Array:
    """|x| with PyTorch's derivative at 0, which is 0; that of `jnp.abs` is 1."""
    return x * jnp.sign(x)


def pyramid_loss(
    params: FeatureParams,
    generated: Float[Array, "b h w 3"],
    real: Float[Array, "b h w 3"],
    scales: Sequence[int] = (1, 2, 4, 8),
    dtype: DTypeLike | None = None,
    recompute: Recompute = no_recompute,
) -> Float[Array, "s 5"]:
    """The unweighted terms T of the global loss, one row a scale, one column a tap.

    Args:
      params: of VGG-19.
      generated: in [0, 1].
      real: in [0, 1]; carries no gradient.
      scales: factors of reduction.
      dtype: compute type of the network; the images' if None.
      recompute: what becomes of each level as a function of arrays, such as `jax.checkpoint`.

    Raises:
      UserError: if the images are too small for the network at the smallest scale.
      ValueError: the parameters of another network.
    """
    _check_pyramid(generated.shape[1], generated.shape[2], scales)
    real = jax.lax.stop_gradient(real)

    def maps(image: Array, scale: int) -> tuple[Array, ...]:
        level = vgg.normalise(blur_downsample(image, scale))
        return layout.features(VGG19, params, level, VGG19_PYRAMID_TAPS, dtype)

    def row(scale: int) -> Array:
        def terms(ours: Array, theirs: Array) -> Array:
            pairs = zip(maps(ours, scale), maps(theirs, scale), strict=True)
            return jnp.stack([absolute(a - b).mean() for a, b in pairs])

        return recompute(terms)(generated, real)

    return jnp.stack([row(scale) for scale in scales])


def _check_pyramid(h: int, w: int, scales: Sequence[int]) -> None:
    least = VGG19.least_size(max(VGG19_PYRAMID_TAPS))
    for scale in scales:
        level = (-(-h // scale), -(-w // scale))
        if min(level) < least:
            raise UserError(
                f"images of {h} x {w} pixels are {level[0]} x {level[1]} at scale {scale} of the "
                f"global loss, too small for VGG-19, which needs {least} x {least}; use images of "
                f"at least {(least - 1) * scale + 1} pixels, or leave scale {scale} out"
            )


def local_features(
    params: FeatureParams, image: Float[Array, "b h w 3"], dtype: DTypeLike | None = None
) -> tuple[Float[Array, "b h2 w2 c"], ...]:
    """The three maps of the local loss.

    Args:
      params: of VGG-16.
      image: in [0, 1], at least 8 x 8.
      dtype: compute type of the network; the image's if None.

    Raises:
      UserError: if the image is too small.
      ValueError: the parameters of another network.
    """
    return layout.features(VGG16, params, image, VGG16_LOCAL_TAPS, dtype)


def feature_l1(generated: Maps, real: Maps) -> Float[Array, "b"]:
    """The mean absolute difference of each pair of maps, summed over the pairs, per example."""
    pairs = zip(generated, real, strict=True)
    return _total([absolute(a - b).mean((1, 2, 3)) for a, b in pairs])


def style(generated: Maps, real: Maps) -> Float[Array, "b"]:
    """Mean absolute difference of Gram matrices / (c h w), summed over the maps, per example."""

    def gram(maps: Array) -> Array:
        # A sum over all pixels loses too much in the low precision of matrix units.
        return jnp.einsum("bhwi,bhwj->bij", maps, maps, precision=jax.lax.Precision.HIGHEST)

    pairs = zip(generated, real, strict=True)
    return _total(
        [absolute(gram(a) - gram(b)).mean((1, 2)) / math.prod(a.shape[1:]) for a, b in pairs]
    )


def local_terms(
    params: FeatureParams,
    generated: Float[Array, "b h w 3"],
    real: Float[Array, "b h w 3"],
    dtype: DTypeLike | None = None,
    recompute: Recompute = no_recompute,
) -> tuple[Float[Array, "b"], Float[Array, "b"]]:
    """`feature_l1` and `style` of images (or crops) from one pass of VGG-16 over each.

    Args:
      params: of VGG-16.
      generated: in [0, 1].
      real: in [0, 1]; carries no gradient.
      dtype: compute type of the network; the images' if None.
      recompute: see `pyramid_loss`.

    Raises:
      UserError: if the images are too small.
      ValueError: the parameters of another network.
    """

    def terms(generated: Array, real: Array) -> tuple[Array, Array]:
        ours = local_features(params, generated, dtype)
        theirs = local_features(params, real, dtype)
        return feature_l1(ours, theirs), style(ours, theirs)

    return recompute(terms)(generated, jax.lax.stop_gradient(real))


def total_variation(image: Float[Array, "b h w c"]) -> Float[Array, "b"]:
    """Mean |difference| of vertical neighbours plus that of horizontal ones, per example.

    A term of S2G-MDDiffusion that no recipe here uses.
    """
    vertical = absolute(image[:, 1:] - image[:, :-1]).mean((1, 2, 3))
    horizontal = absolute(image[:, :, 1:] - image[:, :, :-1]).mean((1, 2, 3))
    return vertical + horizontal


def masked_l1(
    generated: Float[Array, "b h w c"],
    real: Float[Array, "b h w c"],
    mask: Float[Array, "b h w 1"],
) -> Float[Array, "b"]:
    """Mean absolute difference inside a mask: sum |mask (generated - real)| / (c sum mask).

    A term of S2G-MDDiffusion that no recipe here uses.

    Args:
      generated: in [0, 1].
      real: in [0, 1]; carries no gradient.
      mask: weights in [0, 1].

    Returns:
      one value an example; zero for an empty mask.
    """
    difference = mask * (generated - jax.lax.stop_gradient(real))
    size = generated.shape[-1] * mask.sum((1, 2, 3)) + EMPTY
    return absolute(difference).sum((1, 2, 3)) / size


def _total(values: Sequence[Array]) -> Array:
    return jnp.stack(values).sum(0)
