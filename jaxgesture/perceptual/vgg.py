"""VGG-16 and VGG-19 (arXiv 1409.1556), the convolutional part, with torchvision's indices.

Five blocks of 3 x 3 convolutions with ReLUs, each ended by a 2 x 2 max-pool; a block's first
convolution changes the width. The networks differ in the number of convolutions from block 3 on.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxgesture.core.types import Array, Float
from jaxgesture.perceptual import layout
from jaxgesture.perceptual.layout import Conv, FeatureParams, Layout, MaxPool, Relu

WIDTHS = (64, 128, 256, 512, 512)


def _modules(depths: Sequence[int]) -> tuple[Conv | Relu | MaxPool, ...]:
    modules: list[Conv | Relu | MaxPool] = []
    channels = 3
    for width, depth in zip(WIDTHS, depths, strict=True):
        for _ in range(depth):
            modules += [Conv(channels, width), Relu()]
            channels = width
        modules.append(MaxPool())
    return tuple(modules)


VGG16 = Layout("VGG-16", _modules((2, 2, 3, 3, 3)))
VGG19 = Layout("VGG-19", _modules((2, 2, 4, 4, 4)))

VGG19_PYRAMID_TAPS = (1, 6, 11, 20, 29)  # relu1_1, relu2_1, ..., relu5_1
VGG16_LOCAL_TAPS = (4, 9, 16)  # the first three max-pools
VGG16_LPIPS_TAPS = (3, 8, 15, 22, 29)  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3

# Of ImageNet's training images, RGB in [0, 1]; what torchvision's weights were trained under.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def layout_of(params: FeatureParams) -> Layout:
    """The network that parameters belong to: only VGG-19 has a fourth convolution in block 3."""
    return VGG19 if layout.parameter_name(16) in params else VGG16


def normalise(image: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """(image - mean) / std of ImageNet, channel by channel, for images in [0, 1]."""
    mean = jnp.asarray(IMAGENET_MEAN, image.dtype)[None, None, None]
    std = jnp.asarray(IMAGENET_STD, image.dtype)[None, None, None]
    return (image - mean) / std


def features(
    params: FeatureParams,
    image: Float[Array, "b h w 3"],
    taps: Sequence[int],
    dtype: DTypeLike | None = None,
) -> tuple[Float[Array, "b h2 w2 c"], ...]:
    """The maps of VGG-16 or VGG-19, whichever the parameters are of, at torchvision's indices.

    Args:
      params: `weights.load("vgg16" or "vgg19", ...).params`.
      image: RGB; `normalise` it first where the loss wants that.
      taps: indices of convolutions, ReLUs or max-pools, in the order wanted.
      dtype: compute type; the image's if None. The maps have the type of `image`.

    Raises:
      UserError: if the image is too small for the last tap.
      ValueError: no such tap, or the parameters of another network.
    """
    return layout.features(layout_of(params), params, image, taps, dtype)
