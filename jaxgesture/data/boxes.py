"""Boxes of a speaker's hands, face and lips: x0, y0, x1, y1 as fractions of a square frame.

x points right and y down; a box that is not there is NaN. Left and right are the speaker's: the
camera sees the left hand on the right.
"""

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import UserError

PARTS = ("left_hand", "right_hand", "face", "lips")
K = len(PARTS)
ABSENT = np.full(4, np.nan, np.float32)
ABSENT.setflags(write=False)

_MIRRORED = [PARTS.index(part) for part in ("right_hand", "left_hand", "face", "lips")]
# A box that an edge cuts stays while this share of its area is left.
_VISIBLE = 0.5


def within(
    boxes: Float[np.ndarray, "*n 4"], part: tuple[float, float, float, float]
) -> Float[np.ndarray, "*n 4"]:
    """Boxes as fractions of a part of the picture, cut at its edges.

    Args:
        boxes: x0, y0, x1, y1 in any unit.
        part: x0, y0, x1, y1 of what is kept of the picture, in the same unit.

    Returns:
        float32 in [0, 1], not rounded to pixels. NaN for boxes that are not there, are empty, or
        have less than half of their area inside the part.
    """
    origin = np.array([part[0], part[1]] * 2)
    extent = np.array([part[2] - part[0], part[3] - part[1]] * 2)
    there = np.isfinite(boxes).all(-1, keepdims=True)
    found = (np.where(there, boxes, np.nan).astype(np.float64) - origin) / extent
    cut = np.clip(found, 0, 1)
    kept = cut.astype(np.float32)
    seen = (kept[..., 2:] > kept[..., :2]).all(-1) & (_area(cut) >= _VISIBLE * _area(found))
    return np.where(seen[..., None], kept, ABSENT)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def mirrored(boxes: Float[np.ndarray, "*n k 4"]) -> Float[np.ndarray, "*n k 4"]:
    """The boxes of the mirror image, in the order of PARTS: its left hand was the right one."""
    x0, y0, x1, y1 = np.moveaxis(boxes, -1, 0)
    return np.stack([1 - x1, y0, 1 - x0, y1], axis=-1)[..., _MIRRORED, :]


def checked(boxes: Float[np.ndarray, "t k 4"], owner: str) -> Float[np.ndarray, "t k 4"]:
    """The boxes of a clip as float32.

    Args:
        boxes: one row of boxes a frame, in the order of PARTS.
        owner: the clip, for messages.

    Raises:
        UserError: another shape, or boxes that are neither NaN nor inside the frame.
    """
    found = np.asarray(boxes, np.float32)
    if found.ndim != 3 or found.shape[1:] != (K, 4):
        raise UserError(f"boxes of {owner} are {found.shape}, (t, {K}, 4) is expected")
    low, high = found[..., :2], found[..., 2:]
    inside = ((low >= 0) & (high <= 1) & (low < high)).all(-1)
    if not (inside | np.isnan(found).all(-1)).all():
        raise UserError(
            f"boxes of {owner} must lie in [0, 1], x0 < x1 and y0 < y1, or be NaN; "
            "give fractions of the frame, see `boxes.within`"
        )
    return found
