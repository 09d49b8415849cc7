"""Hands, lips and the whole picture, cut out of frames to be judged each by itself.

A box is made square around its centre by its longer side, a quarter of that side is added on all
four sides, and what it covers is resized bilinearly to 64 x 64, without anti-aliasing. Where it
reaches beyond the picture the outermost pixels go on.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from jaxgesture.evaluation.batched import in_batches
from jaxgesture.evaluation.reconstruction import Clip
from jaxgesture.layers.crops import crop_and_resize

BOXES = ("left_hand", "right_hand", "face", "lips")  # their order in `Clip.boxes`
REGIONS = {"hand": ("left_hand", "right_hand"), "lips": ("lips",), "full": ()}
SIZE = 64  # side of a crop, pixels
MARGIN = 0.25  # on every side, as a part of the square's side
BATCH = 16
RULE = f"square, {MARGIN:.0%} of the side added on every side, resized to {SIZE} x {SIZE}"

_crop = jax.jit(crop_and_resize, static_argnums=2)


class Places(NamedTuple):
    """Where a region is seen in a clip.

    Attributes:
      frames: indices of the frames, one for each box.
      boxes: squares with their margin, as fractions; None for the whole picture.
      absent: boxes that are not there.
    """

    frames: Int[np.ndarray, "n"]
    boxes: Float[np.ndarray, "n 4"] | None
    absent: int


def square(boxes: Float[np.ndarray, "*n 4"], margin: float = MARGIN) -> Float[np.ndarray, "*n 4"]:
    """Boxes of square pictures made square, with a margin.

    Args:
      boxes: x0, y0, x1, y1 as fractions of the picture.
      margin: added on every side, as a part of the longer side.

    Returns:
      boxes that may reach beyond the picture; NaN where a box is, or has no extent.
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    centre, side = (low + high) / 2, (high - low).max(-1, keepdims=True)
    half = np.where(side > 0, (0.5 + margin) * side, np.nan)
    return np.concatenate((centre - half, centre + half), -1)


def places(clip: Clip, region: str) -> Places:
    """Where one of `REGIONS` is seen in a clip."""
    names, count = REGIONS[region], len(clip.frames)
    if not names:
        return Places(np.arange(count), None, 0)
    if clip.boxes is None:
        return Places(np.arange(0), np.zeros((0, 4), np.float32), count * len(names))
    boxes = square(clip.boxes[:, [BOXES.index(name) for name in names]])
    present = np.isfinite(boxes).all(-1)
    return Places(np.nonzero(present)[0], boxes[present], int((~present).sum()))


def cut(images: Float[np.ndarray, "t h w 3"], where: Places) -> Float[np.ndarray, "n h2 w2 3"]:
    """What is seen of a region: crops, or for the whole picture the frames as they are.

    Args:
      images: one picture a frame of the clip.
      where: at least one place.
    """
    if where.boxes is None:
        return images[where.frames]

    def crops(frames: np.ndarray, boxes: np.ndarray) -> Any:
        return _crop(images[frames].astype(np.float32), boxes[:, None], SIZE)[0][:, 0]

    return in_batches(crops, BATCH, where.frames, where.boxes)
