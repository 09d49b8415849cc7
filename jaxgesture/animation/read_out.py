"""Read-out of the decoded motion: a help for the first part of training, not published.

At first the base model paints the clip's average and ignores the driving frame: nothing it could
use is in the motion yet, and what reaches the extractor through the warp is mostly noise. A small
network that reads the driving frame's change off the decoded field of rotations,
    L_read_out = mean blur_2(w) |ReadOut(R', t, source) - blur_2(driving - source)|^2,
with w the weight of L_motion (`animation.losses`), so that a mouth counts beside an arm, gives the
extractor and the motion decoder a gradient of their own. Each cell is read from the rotations
around it, as the warp uses them: what is said of a place is said where it is needed. These parts
are a sixth of the model's work, so that they can first be trained alone; then the warp moves the
feature in ways that tell the decoder where things are. With a small weight the noise of the warp
undoes that within some hundred steps. The read-out is trained to the end and is no part of the
model.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgesture.animation.losses import motion_weight
from jaxgesture.core.types import Array, Float
from jaxgesture.layers.conv import Conv
from jaxgesture.layers.resize import blur_downsample

HIDDEN = 128
CELL = 8  # pixels of the image along a cell of the field
REDUCTION = 2  # of the change that is read


class ReadOut(nn.Module):
    """The change between source and driving frame, cell by cell, from the decoded rotations."""

    @nn.compact
    def __call__(
        self,
        rotation: Float[Array, "b h w 3 3"],
        translation: Float[Array, "b 3"],
        source: Float[Array, "b 8*h 8*w 3"],
    ) -> Float[Array, "b 4*h 4*w 3"]:
        """Returns the predicted change at half the image's resolution."""
        b, h, w, _, _ = rotation.shape
        side = CELL // REDUCTION
        small = blur_downsample(source, REDUCTION)
        cells = small.reshape(b, h, side, w, side, 3).transpose(0, 1, 3, 2, 4, 5)
        moved = jnp.broadcast_to(translation[:, None, None], (b, h, w, 3))
        x = jnp.concatenate((rotation.reshape(b, h, w, 9), moved, cells.reshape(b, h, w, -1)), -1)
        x = nn.relu(Conv(HIDDEN, name="hidden_0")(x))
        x = nn.relu(Conv(HIDDEN, name="hidden_1")(x))
        # Small first outputs: large ones take hundreds of steps to unlearn.
        x = Conv(side * side * 3, 1, gain=0.1, bias_init=nn.initializers.zeros, name="change")(x)
        x = x.reshape(b, h, w, side, side, 3).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(b, h * side, w * side, 3)


def read_out_loss(
    change: Float[Array, "b h/2 w/2 3"],
    source: Float[Array, "b h w 3"],
    driving: Float[Array, "b h w 3"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The weighted squared error of the predicted change, and its share of that of no change.

    The share is 1 for a read-out that knows nothing and falls towards 0.
    """
    source, driving = jax.lax.stop_gradient((source, driving))
    true = blur_downsample(driving - source, REDUCTION)
    weight = blur_downsample(motion_weight(driving, source), REDUCTION)
    error = (weight * jnp.square(change - true)).mean()
    return error, error / jnp.maximum((weight * jnp.square(true)).mean(), 1e-8)
