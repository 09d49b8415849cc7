"""Convolutions with PyTorch's padding and default initialisation, channels last.

A convolution kernel k with stride s and padding p maps `(b, h, w, c)` to
`(b, (h + 2p - k) // s + 1, ..., features)`.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxgesture.core.types import Array, Float

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
TINY = 4  # pixels of a map below which a convolution is better done as a matrix product


def conv2d(
    x: Float[Array, "b h w c"], kernel: Float[Array, "k l c o"], *, stride: int = 1, padding: int
) -> Float[Array, "b h2 w2 o"]:
    """Cross-correlation with zero padding of `padding` on all four sides."""
    if stride == 1 and x.shape[1] * x.shape[2] <= TINY and kernel.shape[0] > 1:
        return _conv_by_patches(x, kernel, padding)
    pad = (padding, padding)
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), (pad, pad), dimension_numbers=DIMENSIONS
    )


def _conv_by_patches(x: Array, kernel: Array, padding: int) -> Array:
    """The same for maps of a few pixels, as one matrix product: ten times faster on a CPU."""
    k, h, w = kernel.shape[0], x.shape[1], x.shape[2]
    padded = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    shifts = [padded[:, i : i + h, j : j + w] for i in range(k) for j in range(k)]
    return jnp.concatenate(shifts, -1) @ kernel.reshape(-1, kernel.shape[-1])


def uniform_fan_in(fan_in: int, gain: float = 1.0) -> nn.initializers.Initializer:
    """PyTorch's default for convolutions and linear layers: uniform in +-gain/sqrt(fan_in)."""
    bound = gain / math.sqrt(fan_in)

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Conv(nn.Module):
    """A square convolution with bias; padding defaults to `kernel // 2`.

    Attributes:
      features: output channels.
      kernel: side of the kernel.
      stride: step between outputs.
      gain: scale of the initial kernel against PyTorch's default; not with `kernel_init`.
      kernel_init: makes the initial kernel, in place of PyTorch's default.
      bias_init: makes the initial bias, in place of PyTorch's default.
      dtype: compute type; parameters stay float32.
    """

    features: int
    kernel: int = 3
    stride: int = 1
    gain: float = 1.0
    kernel_init: nn.initializers.Initializer | None = None
    bias_init: nn.initializers.Initializer | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 o"]:
        """Returns the convolution of `x` in the compute type."""
        channels = x.shape[-1]
        fan_in = self.kernel**2 * channels
        shape = (self.kernel, self.kernel, channels, self.features)
        if self.kernel_init is not None and self.gain != 1.0:
            raise ValueError("give gain or kernel_init, not both")
        kernel_init = self.kernel_init or uniform_fan_in(fan_in, self.gain)
        kernel = self.param("kernel", kernel_init, shape)
        bias = self.param("bias", self.bias_init or uniform_fan_in(fan_in), (self.features,))
        y = conv2d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            stride=self.stride,
            padding=self.kernel // 2,
        )
        return y + bias.astype(self.dtype)[None, None, None]


class PReLU(nn.Module):
    """Leaky ReLU with one learned negative slope per channel.

    Attributes:
      initial: slope at the start.
    """

    initial: float = 0.25

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Returns `x` where it is positive, `slope * x` elsewhere."""
        slope = self.param("scale", nn.initializers.constant(self.initial), (x.shape[-1],))
        return jnp.where(x >= 0, x, slope.astype(x.dtype)[None, None, None] * x)
