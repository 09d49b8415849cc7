"""Image encoder (arXiv 2409.17674, eq. 1): an image to maps at four resolutions."""

import flax.linen as nn
import jax.numpy as jnp

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.core.types import Array, Float
from jaxgesture.layers.blocks import ConvNormRelu
from jaxgesture.layers.remat import recomputed
from jaxgesture.layers.resize import average_pool2

FIRST_GROUPS, DOWN_GROUPS = 4, 8


class ImageEncoder(nn.Module):
    """A 7x7 convolution, then three blocks that halve the resolution."""

    config: AnimationConfig

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 3"]) -> tuple[Array, ...]:
        """Returns maps 0 to 3: (b, h, w, c0), (b, h/2, w/2, c1), ... (b, h/8, w/8, c3)."""
        dtype = jnp.dtype(self.config.dtype)
        first, *widths = self.config.encoder_widths
        made = recomputed(ConvNormRelu, self.config.remat, self.config.remat_policy)
        maps = [made(first, FIRST_GROUPS, kernel=7, dtype=dtype, name="first")(image)]
        for i, width in enumerate(widths):
            block = made(width, DOWN_GROUPS, dtype=dtype, name=f"down_blocks_{i}")
            maps.append(average_pool2(block(maps[-1])))
        return tuple(maps)
