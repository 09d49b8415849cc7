"""Convolution blocks that the encoder, the enhancer and the decoders share."""

import flax.linen as nn
import jax.numpy as jnp

from jaxgesture.core.types import Array, Float
from jaxgesture.layers.conv import Conv
from jaxgesture.layers.norm import GroupNorm
from jaxgesture.layers.resize import nearest_down2, nearest_up2

RESIZES = {"none": lambda x: x, "down": nearest_down2, "up": nearest_up2}


class ConvNormRelu(nn.Module):
    """Convolution, group normalisation, ReLU."""

    features: int
    groups: int
    kernel: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w o"]:
        """Returns the activated map at the same resolution."""
        x = Conv(self.features, self.kernel, dtype=self.dtype, name="conv")(x)
        return nn.relu(GroupNorm(self.groups, dtype=self.dtype, name="norm")(x))


class ResidualBlock(nn.Module):
    """Pre-activation block: x + conv(relu(norm(conv(relu(norm(x)))))), channels unchanged."""

    groups: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Returns the map with the residual added."""
        channels = x.shape[-1]
        y = nn.relu(GroupNorm(self.groups, dtype=self.dtype, name="norm1")(x))
        y = Conv(channels, dtype=self.dtype, name="conv1")(y)
        y = nn.relu(GroupNorm(self.groups, dtype=self.dtype, name="norm2")(y))
        return x + Conv(channels, dtype=self.dtype, name="conv2")(y)


class ResizeBlock(nn.Module):
    """Pre-activation block that may resize and change the number of channels.

    norm, ReLU, nearest resize, 3x3, norm, ReLU, 3x3; the shortcut is a 1x1 convolution of the
    resized input wherever the block resizes or changes the number of channels.

    Attributes:
      features: output channels.
      groups: normalisation groups.
      resize: "none", "down" (x 0.5) or "up" (x 2).
    """

    features: int
    groups: int
    resize: str = "none"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 o"]:
        """Returns the resized map."""
        resize = RESIZES[self.resize]
        y = nn.relu(GroupNorm(self.groups, dtype=self.dtype, name="norm1")(x))
        y = Conv(self.features, dtype=self.dtype, name="conv1")(resize(y))
        y = nn.relu(GroupNorm(self.groups, dtype=self.dtype, name="norm2")(y))
        y = Conv(self.features, dtype=self.dtype, name="conv2")(y)
        shortcut = resize(x)
        if self.resize != "none" or x.shape[-1] != self.features:
            shortcut = Conv(self.features, 1, dtype=self.dtype, name="conv3")(shortcut)
        return shortcut + y
