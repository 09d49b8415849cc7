"""Motion decoder: the nonlinear transformation of the field of rotations to twice its side."""

import flax.linen as nn
import jax.numpy as jnp

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.core.types import Array, Float
from jaxgesture.layers.blocks import ResizeBlock
from jaxgesture.layers.conv import Conv
from jaxgesture.layers.norm import at_least_float32
from jaxgesture.layers.remat import recomputed


class MotionDecoder(nn.Module):
    """A U-Net over the field of rotations with one more level up than down."""

    config: AnimationConfig

    @nn.compact
    def __call__(self, field: Float[Array, "b h w 9"]) -> Float[Array, "b 2*h 2*w 9"]:
        """Returns the decoded field, in [-1, 1]; h and w are multiples of 4."""
        dtype = jnp.dtype(self.config.dtype)
        full, half, quarter, middle, up_1, up_0, up_out, out = self.config.motion_widths

        def block(name, features, groups, resize="none"):
            made = recomputed(ResizeBlock, self.config.remat, self.config.remat_policy)
            return made(features, groups, resize, dtype=dtype, name=name)

        conv_0 = Conv(full, 1, dtype=dtype, name="conv_0")(field)
        down_0 = block("down_0", half, 4, "down")(conv_0)
        down_1 = block("down_1", quarter, 8, "down")(down_0)
        x = block("mid_0", middle, 8)(down_1)
        for i in range(self.config.motion_blocks):
            x = block(f"res_mid_{i}", middle, 16)(x)
        x = block("up_1", up_1, 16, "up")(jnp.concatenate((x, down_1), -1))
        x = block("up_0", up_0, 8, "up")(jnp.concatenate((x, down_0), -1))
        x = block("up_out", up_out, 8, "up")(jnp.concatenate((x, conv_0), -1))
        x = block("out_0", out, 4)(x)
        x = Conv(9, gain=self.config.motion_gain, dtype=dtype, name="out_1_0")(x)
        return jnp.tanh(at_least_float32(x))
