"""Linear layers and activations with PyTorch's conventions."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgesture.core.types import Array, Float
from jaxgesture.layers.conv import uniform_fan_in


class Linear(nn.Module):
    """y = x @ kernel + bias over the last axis, with PyTorch's default initialisation.

    Attributes:
      features: length of the last axis of the output.
      dtype: compute type; parameters stay float32.
    """

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n o"]:
        """Returns the projection in the compute type."""
        init = uniform_fan_in(x.shape[-1])
        kernel = self.param("kernel", init, (x.shape[-1], self.features))
        bias = self.param("bias", init, (self.features,))
        y = x.astype(self.dtype) @ kernel.astype(self.dtype)
        return y + bias.astype(self.dtype).reshape((1,) * (y.ndim - 1) + (-1,))


def mish(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """The activation x * tanh(softplus(x)) (arXiv 1908.08681)."""
    return x * jnp.tanh(jax.nn.softplus(x))


def layer_norm(name: str | None = None, dtype: jnp.dtype = jnp.float32) -> nn.LayerNorm:
    """Layer normalisation over the last axis, epsilon 1e-5, statistics never below float32."""
    return nn.LayerNorm(epsilon=1e-5, dtype=dtype, use_fast_variance=False, name=name)
