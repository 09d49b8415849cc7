"""Boxes cut out of images and brought to one size."""

import jax
import jax.numpy as jnp

from jaxgesture.core.types import Array, Bool, Float
from jaxgesture.layers.sampling import grid_sample

WHOLE = (0.0, 0.0, 1.0, 1.0)


@jax.named_scope("crops")
def crop_and_resize(
    image: Float[Array, "b h w c"], boxes: Float[Array, "b k 4"], size: int
) -> tuple[Float[Array, "b k s s c"], Bool[Array, "b k"]]:
    """Cuts `k` boxes out of each image, bilinearly, without anti-aliasing.

    Sample j of s along x lies at the fraction x0 + (x1 - x0) (j + 0.5) / s of the width, so that
    the samples are the centres of s equal parts of the box; pixel i's own centre lies at
    (i + 0.5) / w. Beyond the outermost centres the nearest pixel counts.

    Args:
      image: the images.
      boxes: x0, y0, x1, y1 as fractions of the image, NaN for a box that is not there.
      size: s, the side of the crops in pixels.

    Returns:
      the crops, and which boxes were there. A crop of a box that was not is the whole image, so
      that no value and no gradient is NaN: leave it out by the second result.
    """
    b, k = boxes.shape[:2]
    present = jnp.isfinite(boxes).all(-1)
    whole = jnp.asarray(WHOLE, boxes.dtype)[None, None]
    x0, y0, x1, y1 = jnp.moveaxis(jnp.where(present[..., None], boxes, whole), -1, 0)
    centres = ((jnp.arange(size, dtype=boxes.dtype) + 0.5) / size)[None, None]
    x = x0[..., None] + (x1 - x0)[..., None] * centres
    y = y0[..., None] + (y1 - y0)[..., None] * centres
    shape = (b, k, size, size)
    fractions = jnp.stack(
        (jnp.broadcast_to(x[:, :, None], shape), jnp.broadcast_to(y[..., None], shape)), -1
    )
    grid = (2 * fractions - 1).reshape(b, k * size, size, 2)
    crops = grid_sample(image, grid, padding="border")
    return crops.reshape(b, k, size, size, image.shape[-1]), present
