"""Multi-head attention, softmax(q k^T / sqrt(width of a head)) v per head."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgesture.core.types import Array, Float
from jaxgesture.layers.linear import Linear


def attend(
    q: Float[Array, "b t c"], k: Float[Array, "b s c"], v: Float[Array, "b s c"], heads: int
) -> Float[Array, "b t c"]:
    """Attention of `t` queries to `s` keys; the channels are split into `heads` heads.

    The softmax is taken in float32 or wider whatever the type of the inputs.
    """
    batch, width = q.shape[0], q.shape[-1]
    size = width // heads

    def split(x):
        return x.reshape(batch, -1, heads, size)

    accumulate = jnp.promote_types(q.dtype, jnp.float32)
    logits = jnp.einsum("bthc,bshc->bhts", split(q), split(k), preferred_element_type=accumulate)
    weights = jax.nn.softmax(logits / math.sqrt(size), axis=-1).astype(v.dtype)
    return jnp.einsum("bhts,bshc->bthc", weights, split(v)).reshape(q.shape)


class MultiHeadAttention(nn.Module):
    """Attention whose query, key and value projections are one packed parameter, in this order.

    Attributes:
      heads: number of heads; divides the width of the queries.
      dtype: compute type of the projections; parameters stay float32.
    """

    heads: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, query: Float[Array, "b t c"], key: Float[Array, "b s c"], value: Float[Array, "b s c"]
    ) -> Float[Array, "b t c"]:
        """Returns the projected attention output in the compute type."""
        width = query.shape[-1]
        kernel = self.param("in_proj_kernel", nn.initializers.xavier_uniform(), (width, 3 * width))
        bias = self.param("in_proj_bias", nn.initializers.zeros, (3 * width,))
        kernels = jnp.split(kernel.astype(self.dtype), 3, axis=1)
        biases = jnp.split(bias.astype(self.dtype), 3)
        q, k, v = (
            x.astype(self.dtype) @ w + b[None, None]
            for x, w, b in zip((query, key, value), kernels, biases, strict=True)
        )
        return Linear(width, dtype=self.dtype, name="out_proj")(attend(q, k, v, self.heads))
