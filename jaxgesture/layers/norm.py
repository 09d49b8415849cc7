"""Normalisation layers with PyTorch's definitions; statistics are float32, or float64."""

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from jaxgesture.core.types import Array, Float

EPSILON = 1e-5


def at_least_float32(x: Array) -> Array:
    """`x` in float32, or in float64 if it is that already."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def group_count(channels: int, most: int) -> int:
    """The largest divisor of `channels` that is not above `most`."""
    return next(n for n in range(min(most, channels), 0, -1) if channels % n == 0)


def _affine(module: nn.Module, x: Array, channels: int) -> Array:
    scale = module.param("scale", nn.initializers.ones, (channels,))
    bias = module.param("bias", nn.initializers.zeros, (channels,))
    return x * scale[None, None, None] + bias[None, None, None]


class GroupNorm(nn.Module):
    """Group normalisation, eps 1e-5, with scale and bias per channel.

    Attributes:
      groups: wanted number of groups; the largest divisor of the channels not above it is used.
      dtype: type of the result.
    """

    groups: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Returns `x` with mean 0 and variance 1 in each group of channels, then the affine map."""
        b, h, w, c = x.shape
        groups = group_count(c, self.groups)
        y = at_least_float32(x).reshape(b, h * w, c)

        def mean_over_groups(values: Array) -> Array:
            # Pixels first, then the channels of a group: half the time of one reduction over both.
            per_group = values.mean(1).reshape(b, groups, c // groups).mean(-1)
            shape = (b, groups, c // groups)
            return jnp.broadcast_to(per_group[:, :, None], shape).reshape(b, 1, c)

        y = y - mean_over_groups(y)
        y = (y * lax.rsqrt(mean_over_groups(y**2) + EPSILON)).reshape(b, h, w, c)
        return _affine(self, y, c).astype(self.dtype)


class BatchNorm(nn.Module):
    """Batch normalisation as PyTorch has it: eps 1e-5, the running variance is the unbiased one.

    Under `jit` with a sharded batch the statistics are those of the global batch.

    Attributes:
      momentum: share of the running statistics kept at each step.
      dtype: type of the result.
    """

    momentum: float = 0.9
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
        """Normalises by the batch's statistics in training, by the running ones otherwise."""
        c = x.shape[-1]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (c,))
        running_var = self.variable("batch_stats", "var", jnp.ones, (c,))
        y = at_least_float32(x)
        if train:
            mean = y.mean((0, 1, 2))
            variance = ((y - mean[None, None, None]) ** 2).mean((0, 1, 2))
            if not self.is_initializing():
                count = y.size // c
                unbiased = variance * (count / max(count - 1, 1))
                keep = self.momentum
                running_mean.value = keep * running_mean.value + (1 - keep) * mean
                running_var.value = keep * running_var.value + (1 - keep) * unbiased
        else:
            mean, variance = running_mean.value, running_var.value
        factor = lax.rsqrt(variance + EPSILON)[None, None, None]
        return _affine(self, (y - mean[None, None, None]) * factor, c).astype(self.dtype)
