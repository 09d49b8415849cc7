"""Latent deviation extractor (arXiv 2409.17674, eq. 3): an image to a field of rotations.

Each angle is the expectation of a distribution over bins,
    angle = sum_i softmax(logits)_i * (3 i - 99) degrees,
and each cell's rotation is R = Pitch(x) @ Yaw(y) @ Roll(z). The motion feature is the field of
rotations, flattened row by row, followed by one translation; all its numbers lie in [-1, 1].
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.core.types import Array, Float
from jaxgesture.layers.conv import Conv, uniform_fan_in
from jaxgesture.layers.norm import BatchNorm, at_least_float32
from jaxgesture.layers.remat import recomputed
from jaxgesture.layers.resize import max_pool3

ANGLES = ("yaw", "pitch", "roll")


class Bottleneck(nn.Module):
    """1x1 to a quarter of the channels, 3x3, 1x1 back, each with batch norm; residual."""

    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h2 w2 c"]:
        """Returns the activated sum of the input (or its strided projection) and the residual."""
        channels = x.shape[-1]

        def layer(y, features, kernel, stride, conv, norm):
            y = Conv(features, kernel, stride, dtype=self.dtype, name=conv)(y)
            return BatchNorm(dtype=self.dtype, name=norm)(y, train=train)

        y = nn.relu(layer(x, channels // 4, 1, 1, "conv1", "norm1"))
        y = nn.relu(layer(y, channels // 4, 3, self.stride, "conv2", "norm2"))
        y = layer(y, channels, 1, 1, "conv3", "norm3")
        if self.stride > 1:
            x = layer(x, channels, 1, self.stride, "skip", "norm4")
        return nn.relu(x + y)


class DeviationExtractor(nn.Module):
    """A bottleneck network at 1/16 of the image's resolution with angle and translation heads."""

    config: AnimationConfig

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 3"], *, train: bool = False
    ) -> tuple[dict[str, Array], Float[Array, "b 3"]]:
        """Returns the logits {"yaw", "pitch", "roll"} (b, h/16, w/16, bins) and the translation."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)

        def layer(x, features, kernel, stride, index):
            x = Conv(features, kernel, stride, dtype=dtype, name=f"conv{index}")(x)
            return nn.relu(BatchNorm(dtype=dtype, name=f"norm{index}")(x, train=train))

        made = recomputed(Bottleneck, config.remat, config.remat_policy, static=(2,))
        first, second, third = config.extractor_widths
        blocks = config.extractor_blocks
        x = max_pool3(layer(image, config.extractor_stem, 7, 2, 1))
        x = layer(x, first, 1, 1, 2)
        for i in range(blocks[0]):
            x = made(dtype=dtype, name=f"block1_b1_{i}")(x, train)
        x = layer(x, second, 1, 1, 3)
        x = made(2, dtype=dtype, name="block2")(x, train)
        for i in range(blocks[1]):
            x = made(dtype=dtype, name=f"block3_b3_{i}")(x, train)
        x = layer(x, third, 1, 1, 4)
        x = made(2, dtype=dtype, name="block4")(x, train)
        for i in range(blocks[2]):
            x = made(dtype=dtype, name=f"block5_b5_{i}")(x, train)
        x = at_least_float32(x)
        heads = ordinal_kernel(config.head_slope)
        logits = {
            angle: Conv(config.bins, 1, kernel_init=heads, dtype=x.dtype, name=f"fc_{angle}")(x)
            for angle in ANGLES
        }
        average = x.mean((1, 2), keepdims=True)
        translation = Conv(3, 1, dtype=x.dtype, name="fc_translation")(average)
        return logits, jnp.tanh(translation)[:, 0, 0]


def ordinal_kernel(slope: float) -> nn.initializers.Initializer:
    """An initial kernel (1, 1, c, bins) whose logits are ordered: expectations vary smoothly.

    PyTorch's default plus slope v_c r_b, with v a random direction of length about 1 and mean 0
    (its input is never negative: a direction with a mean would saturate some heads at once), and r
    rising from -1 to 1 along the bins.
    """

    def init(key, shape, dtype=jnp.float32):
        _, _, channels, bins = shape
        kernel = uniform_fan_in(channels)(key, shape, dtype)
        direction = jax.random.normal(jax.random.fold_in(key, 1), (channels, 1), dtype)
        direction -= direction.mean()
        ramp = jnp.linspace(-1.0, 1.0, bins, dtype=dtype)[None]
        return kernel + (slope * direction / channels**0.5 * ramp)[None, None]

    return init


def expected_angle(
    logits: Float[Array, "b h w n"], config: AnimationConfig
) -> Float[Array, "b h w"]:
    """The expected angle in radians (with the configured pi) of a distribution over bins."""
    degrees = jnp.arange(config.bins, dtype=jnp.float32) * config.bin_degrees
    expectation = (nn.softmax(logits, -1) * degrees[None, None, None]).sum(-1)
    return (expectation - config.offset_degrees) / 180 * config.pi


def rotation_matrix(
    yaw: Float[Array, "*n"], pitch: Float[Array, "*n"], roll: Float[Array, "*n"]
) -> Float[Array, "*n 3 3"]:
    """R = Pitch(x) @ Yaw(y) @ Roll(z), angles in radians, right-handed."""
    (sx, cx), (sy, cy), (sz, cz) = ((jnp.sin(a), jnp.cos(a)) for a in (pitch, yaw, roll))
    rows = (
        (cy * cz, -cy * sz, sy),
        (cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy),
        (sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy),
    )
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def pack_motion(
    rotation: Float[Array, "b h w 3 3"], translation: Float[Array, "b 3"]
) -> Float[Array, "b d"]:
    """The motion feature: rotations flattened row by row, then the translation."""
    return jnp.concatenate((rotation.reshape(rotation.shape[0], -1), translation), -1)


def unpack_motion(
    feature: Float[Array, "b d"], field: int
) -> tuple[Float[Array, "b h w 3 3"], Float[Array, "b 3"]]:
    """The inverse of `pack_motion` for a field of `field` x `field` cells."""
    rotation = feature[:, :-3].reshape(feature.shape[0], field, field, 3, 3)
    return rotation, feature[:, -3:]
