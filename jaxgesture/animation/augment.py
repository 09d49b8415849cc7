"""Random changes of training images where the step runs; the host draws them (`data.augment`).

With r an RGB pixel in [0, 255] and M the (3, 4) matrix drawn:

    mirror left and right if drawn; sample the kept square bilinearly at the centres of as many
    equal parts as the image has pixels; clip(M (r, 1), 0, 255) / 255

The host's Pillow rounds to whole levels of 255 after each of its two passes and after the matrix,
this does not: the two lie at most 0.5 + |M| levels apart, |M| the largest sum of a row of absolute
values, which is 1.9 levels for the default strengths.
"""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxgesture.core.types import Array, Batch, Bool, Float, UInt8


def augmented(
    pixels: UInt8[Array, "b h w 3"],
    flip: Bool[Array, "b"] | None = None,
    crop: Float[Array, "b 4"] | None = None,
    colour: Float[Array, "b 3 4"] | None = None,
    dtype: DTypeLike = jnp.float32,
) -> Float[Array, "b h w 3"]:
    """The changed images as floats in [0, 1]; what is None is not changed.

    Args:
      pixels: the images.
      flip: which are mirrored left and right (first).
      crop: the part kept, x0, y0, x1, y1 as fractions of the mirrored image.
      colour: a matrix on (r, g, b, 1) in [0, 255].
      dtype: of the result.
    """
    images = jnp.asarray(pixels)
    if flip is not None:
        images = jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)
    images = images.astype(dtype)
    if crop is not None:
        for axis in (1, 2):
            images = _resampled(images, crop[:, 2 - axis], crop[:, 4 - axis], axis)
    if colour is not None:
        # Written out: XLA on CPUs is twenty times slower with a product of such thin matrices.
        matrix = colour.astype(dtype)[:, None, None]
        images = matrix[..., 3] + sum(images[..., c, None] * matrix[..., c] for c in range(3))
        images = jnp.clip(images, 0, 255)
    return images / 255.0


@jax.named_scope("augment")
def pair(batch: Batch, dtype: DTypeLike = jnp.float32) -> tuple[Array, Array]:
    """Source and driving images of a batch, changed alike as the batch says; floats in [0, 1].

    Args:
      batch: "source" and "driving", uint8 (b, h, w, 3), and what there is of "flip", "crop" and
        "colour", see `augmented`.
      dtype: of the images.
    """
    change = {key: batch.get(key) for key in ("flip", "crop", "colour")}
    source, driving = (augmented(batch[k], **change, dtype=dtype) for k in ("source", "driving"))
    return source, driving


def _resampled(
    images: Float[Array, "b h w c"], low: Float[Array, "b"], high: Float[Array, "b"], axis: int
) -> Float[Array, "b h w c"]:
    """One axis at the centres of equal parts of [low, high], fractions of it; its edges go on."""
    size = images.shape[axis]
    centres = ((jnp.arange(size, dtype=low.dtype) + 0.5) / size)[None]
    places = (low[:, None] + (high - low)[:, None] * centres) * size - 0.5
    places = jnp.clip(places, 0, size - 1)
    shape = [len(images), 1, 1, 1]
    shape[axis] = size
    before = jnp.floor(places).astype(jnp.int32)
    part = (places - before).astype(images.dtype).reshape(shape)
    after = jnp.minimum(before + 1, size - 1)
    first, second = (
        jnp.take_along_axis(images, index.reshape(shape), axis) for index in (before, after)
    )
    return first + (second - first) * part
