"""LPIPS, version 0.1 (arXiv 1801.03924): a distance of images that was fitted to human judgement.

With maps F_k of a frozen network, scaled to unit length along the channels, F' = F / (|F| + 1e-10),
and non-negative weights w_k per channel (the heads),
    d(a, b) = sum_k mean over pixels of sum_c w_k[c] (F'_k(a)[c] - F'_k(b)[c])^2.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxgesture.core.types import Array, Float
from jaxgesture.perceptual import layout
from jaxgesture.perceptual.layout import Conv, FeatureParams, Layout, MaxPool, Relu
from jaxgesture.perceptual.vgg import VGG16, VGG16_LPIPS_TAPS

ALEXNET = Layout(
    "AlexNet",
    (
        Conv(3, 64, kernel=11, stride=4, padding=2), Relu(), MaxPool(3, 2),
        Conv(64, 192, kernel=5, padding=2), Relu(), MaxPool(3, 2),
        Conv(192, 384), Relu(),
        Conv(384, 256), Relu(),
        Conv(256, 256), Relu(), MaxPool(3, 2),
    ),
)  # fmt: skip
ALEXNET_LPIPS_TAPS = (1, 4, 7, 9, 11)  # every ReLU

NETS = {"alex": (ALEXNET, ALEXNET_LPIPS_TAPS), "vgg": (VGG16, VGG16_LPIPS_TAPS)}

# LPIPS has its own normalisation, for images in [-1, 1].
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
EPSILON = 1e-10


def head_name(index: int) -> str:
    """The name under which the weights of the tap number `index` are kept."""
    return f"lin_{index}"


def head_widths(net: str) -> tuple[int, ...]:
    """The channels of each tap."""
    network, taps = _net(net)
    return tuple(
        next(m.outputs for m in reversed(network.modules[: tap + 1]) if isinstance(m, Conv))
        for tap in taps
    )


def alexnet_features(
    params: FeatureParams,
    image: Float[Array, "b h w 3"],
    taps: Sequence[int] = ALEXNET_LPIPS_TAPS,
    dtype: DTypeLike | None = None,
) -> tuple[Float[Array, "b h2 w2 c"], ...]:
    """The maps of AlexNet (torchvision's, arXiv 1404.5997) at torchvision's indices.

    Args:
      params: `weights.load("alexnet", ...).params`.
      image: RGB, normalised.
      taps: indices of modules, in the order wanted.
      dtype: compute type; the image's if None. The maps have the type of `image`.

    Raises:
      UserError: if the image is too small for the last tap.
      ValueError: no such tap, or the parameters of another network.
    """
    return layout.features(ALEXNET, params, image, taps, dtype)


def lpips_per_layer(
    params: Mapping[str, Any],
    a: Float[Array, "b h w 3"],
    b: Float[Array, "b h w 3"],
    net: str,
    dtype: DTypeLike | None = None,
) -> Float[Array, "b 5"]:
    """The five terms of the distance.

    Args:
      params: {"features": `weights.load("alexnet" or "vgg16", ...).params`, "heads":
        `weights.load("lpips_alex" or "lpips_vgg", ...).params`}; a head is the kernel
        (1, 1, c, 1) of a convolution.
      a: RGB in [0, 1].
      b: RGB in [0, 1].
      net: "alex" or "vgg" (VGG-16).
      dtype: compute type of the network; the images' if None.

    Raises:
      UserError: if the images are too small (31 pixels for alex, 16 for vgg).
      ValueError: an unknown net, or the parameters of another network.
    """
    network, taps = _net(net)
    pairs = zip(
        layout.features(network, params["features"], _scaled(a), taps, dtype),
        layout.features(network, params["features"], _scaled(b), taps, dtype),
        strict=True,
    )
    terms = []
    for index, (ours, theirs) in enumerate(pairs):
        head = jnp.asarray(params["heads"][head_name(index)]["kernel"], a.dtype)[..., 0]
        squared = (_unit_length(ours) - _unit_length(theirs)) ** 2
        terms.append((squared * head[None]).sum(-1).mean((1, 2)))
    return jnp.stack(terms, -1)


def lpips(
    params: Mapping[str, Any],
    a: Float[Array, "b h w 3"],
    b: Float[Array, "b h w 3"],
    net: str,
    dtype: DTypeLike | None = None,
) -> Float[Array, "b"]:
    """The distance of each pair of images; the arguments and errors of `lpips_per_layer`."""
    return lpips_per_layer(params, a, b, net, dtype).sum(-1)


def _net(net: str) -> tuple[Layout, tuple[int, ...]]:
    if net not in NETS:
        raise ValueError(f"LPIPS has no net {net!r}; choose one of {', '.join(NETS)}")
    return NETS[net]


def _scaled(image: Array) -> Array:
    shift, scale = (jnp.asarray(v, image.dtype)[None, None, None] for v in (SHIFT, SCALE))
    return (2 * image - 1 - shift) / scale


def _unit_length(maps: Array) -> Array:
    # The root has no derivative at 0, where all channels are off: the ReLUs in front stop it there.
    return maps / (jnp.sqrt((maps**2).sum(-1, keepdims=True)) + EPSILON)
