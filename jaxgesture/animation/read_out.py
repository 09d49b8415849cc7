"""Read-out of the motion feature: a help for the first part of training, not published.

At first the base model paints the clip's average and ignores the driving frame: nothing it could
use is in the motion feature yet, and what reaches the extractor through the warp is mostly noise.
A small network that reads the driving frame's change off the motion feature,
    L_read_out = mean blur_2(w) |ReadOut(feature, source) - blur_2(driving - source)|^2,
with w the weight of L_motion (`animation.losses`), so that a mouth counts beside an arm, gives the
extractor a gradient of its own. The extractor and the read-out are a few per cent of the model's
work, so that they can first be trained alone; then the decoders find a feature that says where
things are. The read-out is trained to the end and is no part of the model.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgesture.animation.losses import motion_weight
from jaxgesture.core.types import Array, Float
from jaxgesture.layers.resize import blur_downsample

HIDDEN = 256
SOURCE_REDUCTION, CHANGE_REDUCTION = 8, 2


class ReadOut(nn.Module):
    """The change between source and driving frame, from the motion feature and a small source."""

    @nn.compact
    def __call__(
        self, feature: Float[Array, "b d"], source: Float[Array, "b h w 3"]
    ) -> Float[Array, "b h/2 w/2 3"]:
        """Returns the predicted change at half the resolution."""
        b, h, w, _ = source.shape
        small = blur_downsample(source, SOURCE_REDUCTION).reshape(b, -1)
        x = nn.relu(nn.Dense(HIDDEN, name="hidden")(jnp.concatenate((feature, small), -1)))
        h, w = h // CHANGE_REDUCTION, w // CHANGE_REDUCTION
        # Small first outputs: large ones take hundreds of steps to unlearn.
        small_init = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")
        return nn.Dense(h * w * 3, kernel_init=small_init, name="change")(x).reshape(b, h, w, 3)


def read_out_loss(
    change: Float[Array, "b h/2 w/2 3"],
    source: Float[Array, "b h w 3"],
    driving: Float[Array, "b h w 3"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The weighted squared error of the predicted change, and its share of that of no change.

    The share is 1 for a read-out that knows nothing and falls towards 0.
    """
    source, driving = jax.lax.stop_gradient((source, driving))
    true = blur_downsample(driving - source, CHANGE_REDUCTION)
    weight = blur_downsample(motion_weight(driving, source), CHANGE_REDUCTION)
    error = (weight * jnp.square(change - true)).mean()
    return error, error / jnp.maximum((weight * jnp.square(true)).mean(), 1e-8)
