"""Feature enhancer (arXiv 2409.17674, eq. 2): residual blocks and a small U-Net."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.core.types import Array, Float
from jaxgesture.layers.blocks import ResidualBlock, ResizeBlock
from jaxgesture.layers.conv import Conv, uniform_fan_in
from jaxgesture.layers.norm import GroupNorm
from jaxgesture.layers.remat import recomputed

RESIDUAL_GROUPS, NARROW_GROUPS, WIDE_GROUPS, OUTPUT_GROUPS = 16, 8, 16, 12


def smooth_kernel(fan_in: int, width: float) -> nn.initializers.Initializer:
    """PyTorch's default kernel, smoothed along its output channels and as large as before.

    Args:
      fan_in: inputs of one output.
      width: standard deviation of the Gaussian as a part of the number of channels; 0 for none.
    """

    def init(key, shape, dtype=jnp.float32):
        kernel = uniform_fan_in(fan_in)(key, shape, dtype)
        if not width:
            return kernel
        depth = np.arange(shape[-1]) / shape[-1]
        weights = np.exp(-0.5 * ((depth[:, None] - depth[None]) / width) ** 2)
        # Columns of length 1 keep the variance of every output.
        weights /= np.sqrt((weights**2).sum(0, keepdims=True))
        return jnp.dot(kernel, weights.astype(dtype), precision="highest")

    return init


class UNet(nn.Module):
    """Two levels down, one block, two levels up with concatenated shortcuts."""

    config: AnimationConfig

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Returns a map of the input's shape; h and w are multiples of 4."""
        dtype = jnp.dtype(self.config.dtype)
        narrow, wide = self.config.enhancer_widths

        def block(name, features, groups, resize):
            made = recomputed(ResizeBlock, self.config.remat, self.config.remat_policy)
            return made(features, groups, resize, dtype=dtype, name=name)

        down_0 = block("down_0", narrow, NARROW_GROUPS, "down")(x)
        down_1 = block("down_1", wide, WIDE_GROUPS, "down")(down_0)
        y = block("mid_0", wide, WIDE_GROUPS, "none")(down_1)
        y = block("up_1", wide, WIDE_GROUPS, "up")(jnp.concatenate((y, down_1), -1))
        y = block("up_0", narrow, NARROW_GROUPS, "up")(jnp.concatenate((y, down_0), -1))
        y = nn.relu(GroupNorm(OUTPUT_GROUPS, dtype=dtype, name="out_norm")(y))
        kernel_init = smooth_kernel(9 * narrow, self.config.volume_smoothness)
        return Conv(x.shape[-1], kernel_init=kernel_init, dtype=dtype, name="out_conv")(y)


class FeatureEnhancer(nn.Module):
    """Normalised residual blocks, then the U-Net; the result is the enhanced feature f_S."""

    config: AnimationConfig

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Returns the enhanced feature, of the input's shape."""
        dtype = jnp.dtype(self.config.dtype)
        block = recomputed(ResidualBlock, self.config.remat, self.config.remat_policy)
        for i in range(self.config.enhancer_blocks):
            x = block(RESIDUAL_GROUPS, dtype=dtype, name=f"res_ms_{i}")(x)
        return UNet(self.config, name="unet")(x)
