"""Latent deviation decoder (arXiv 2409.17674, eqs. 5-7): a warped feature to an image.

At two scales the state x is blended with the full-scene deviation of the source,
    m = sigmoid(mask(x)),   x <- PReLU(m * x + (1 - m) * scene),
where `scene` depends on the source image alone, so that it is computed once per source.
"""

import flax.linen as nn
import jax.numpy as jnp

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.core.types import Array, Float
from jaxgesture.layers.blocks import ConvNormRelu, ResidualBlock, ResizeBlock
from jaxgesture.layers.conv import Conv, PReLU
from jaxgesture.layers.norm import at_least_float32
from jaxgesture.layers.remat import recomputed
from jaxgesture.layers.resize import nearest_up2

RESIDUAL_GROUPS, UP_GROUPS, SCENE_GROUPS = 16, 8, 4
UP_RESIDUAL_GROUPS = (8, 8, 4)


class DeviationDecoder(nn.Module):
    """Residual blocks, then three doublings with the source's scene blended in after two."""

    config: AnimationConfig

    def setup(self):
        """Builds the blocks; those of the deviation only where it is used."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        residual, resize, simple = (
            recomputed(block, config.remat, config.remat_policy)
            for block in (ResidualBlock, ResizeBlock, ConvNormRelu)
        )
        self.conv_in = Conv(config.encoder_widths[-1], 1, dtype=dtype)
        self.res_ms = [residual(RESIDUAL_GROUPS, dtype=dtype) for _ in range(config.decoder_blocks)]
        self.up = [
            simple(width, min(UP_GROUPS, max(width // 16, 1)), dtype=dtype)
            for width in config.decoder_widths
        ]
        self.up_res = [residual(groups, dtype=dtype) for groups in UP_RESIDUAL_GROUPS]
        blended = config.decoder_widths[:2]
        self.re_ac = [PReLU(config.prelu_slope) for _ in blended]
        if config.deviation:
            self.mask_up = [Conv(width, dtype=dtype) for width in blended]
            self.re_up = [resize(width, SCENE_GROUPS, dtype=dtype) for width in blended]
        self.conv_img = Conv(3, dtype=dtype)

    def scene(self, maps: tuple[Array, ...]) -> tuple[Array, ...]:
        """The full-scene deviation of encoder maps 2 and 1; empty without it."""
        if not self.config.deviation:
            return ()
        return tuple(block(m) for block, m in zip(self.re_up, (maps[2], maps[1]), strict=True))

    def __call__(
        self, warped: Float[Array, "b h w z"], scene: tuple[Array, ...]
    ) -> Float[Array, "b 8*h 8*w 3"]:
        """Returns the image, float32 (or float64) in [0, 1]."""
        x = self.conv_in(warped)
        for block in self.res_ms:
            x = block(x)
        for i, (up, residual) in enumerate(zip(self.up, self.up_res, strict=True)):
            x = residual(up(nearest_up2(x)))
            if i < len(self.re_ac):
                if self.config.deviation:
                    mask = nn.sigmoid(self.mask_up[i](x))
                    x = mask * x + (1 - mask) * scene[i]
                x = self.re_ac[i](x)
        x = self.conv_img(nn.leaky_relu(x, 0.2))
        return nn.sigmoid(at_least_float32(x))
