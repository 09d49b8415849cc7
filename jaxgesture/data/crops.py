"""Which square of a picture to keep: written down, or around the speaker's hands and face.

The square around a speaker holds the union of all boxes of the hands and the face that are seen
during a clip, cut at the edges of the picture, with a tenth of the union's longer side as margin on
every side. It is at least a third and at most the whole of the picture's shorter side. Where the
union is larger than that, the square goes where it shows the largest mean share of the face's
boxes and, of all such places, of the hands' boxes.
"""

import math

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import UserError
from jaxgesture.data.boxes import PARTS
from jaxgesture.data.image import CROPS, Crop
from jaxgesture.data.landmarks import Landmarks

LANDMARKS = "landmarks"
WORDS = (*CROPS, LANDMARKS)

_MARGIN = 0.1
_SMALLEST = 1 / 3
_FACE = PARTS.index("face")
_HANDS = [PARTS.index("left_hand"), PARTS.index("right_hand")]
# Shares that differ by less are the same.
_EQUAL = 1e-9


def parse_crop(text: str) -> Crop:
    """The crop that a flag or a list names.

    Args:
        text: "center", "left", "right", "top", "bottom", "landmarks" (the square around hands and
            face), or "x,y,side" in pixels, with x, y the upper left corner.

    Raises:
        UserError: it is none of these.
    """
    words = text.strip()
    if words in WORDS:
        return words
    try:
        x, y, side = (float(number) for number in words.split(","))
    except ValueError:
        x = y = side = math.nan
    if not (0 <= x < math.inf and 0 <= y < math.inf and 1 <= side < math.inf):
        raise UserError(
            f"crop {text!r} is not understood; use {', '.join(WORDS)}, or x,y,side in pixels, with "
            "the upper left corner x,y inside the picture"
        )
    return x, y, side


def around_landmarks(
    marks: Landmarks,
    start: float,
    stop: float,
    width: float,
    height: float,
    fps: float = 25.0,
) -> tuple[float, float, float]:
    """The smallest comfortable square that keeps both hands and the face in view, see above.

    Args:
        marks: of the video.
        start: seconds from the first picture.
        stop: seconds from the first picture.
        width: of the picture as shown, pixels.
        height: of the picture as shown, pixels.
        fps: frames a second that are made of this part; those between start and stop count.

    Returns:
        x, y, side in whole pixels, inside the picture.

    Raises:
        UserError: no hand and no face is seen in that part.
    """
    size = np.array([width, height], np.int64)
    found = marks.at(fps, round(stop * fps))[round(start * fps) :].astype(np.float64)
    seen = _inside(found, size)
    low = seen[..., :2].reshape(-1, 2)
    if not np.isfinite(low).any():
        raise UserError(
            f"neither a hand nor the face is seen from {start:g} to {stop:g} s; choose another "
            "crop, or leave this part out"
        )
    # Whole pixels, so that a crop alone does not blur.
    first = np.floor(np.nanmin(low, axis=0)).astype(np.int64)
    last = np.ceil(np.nanmax(seen[..., 2:].reshape(-1, 2), axis=0)).astype(np.int64)
    extent, largest = int((last - first).max()), int(size.min())
    wanted = max(extent * (1 + 2 * _MARGIN), largest * _SMALLEST)
    side = min(math.ceil(wanted), largest)
    x, y = (
        _centred(first[axis], last[axis], side, size[axis])
        if last[axis] - first[axis] <= side
        else _best(seen[..., axis::2], side, size[axis], (first[axis] + last[axis]) / 2)
        for axis in (0, 1)
    )
    return float(x), float(y), float(side)


def _inside(
    boxes: Float[np.ndarray, "t k 4"], size: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "t k 4"]:
    """The parts of the boxes of hands and face that lie in the picture, NaN where nothing does."""
    kept = boxes[:, [*_HANDS, _FACE]]
    cut = np.clip(kept, 0, np.tile(size, 2))
    there = (cut[..., 2:] > cut[..., :2]).all(-1, keepdims=True)
    return np.where(there, cut, np.nan)


def _centred(first: int, last: int, side: int, length: int) -> int:
    """Where a square starts that holds pixels first to last in its middle, or near the edge."""
    return min(max(0, (first + last - side) // 2), length - side)


def _best(spans: Float[np.ndarray, "t k 2"], side: int, length: int, middle: float) -> int:
    """Where a square starts that shows as much as possible of the face, then of the hands.

    Args:
        spans: of the left hand, the right hand and the face, along one axis.
        side: of the square.
        length: of the picture.
        middle: of all spans; of places that are equally good the one nearest to it is taken.
    """
    face = _flat(spans[:, len(_HANDS) :])
    hands = _flat(spans[:, : len(_HANDS)])
    best, place = (-1.0, -1.0, 0.0), 0
    for x in range(length - side + 1):
        shown = (_share(face, x, side), _share(hands, x, side), -abs(x + side / 2 - middle))
        if _better(shown, best):
            best, place = shown, x
    return place


def _flat(spans: Float[np.ndarray, "t k 2"]) -> Float[np.ndarray, "n 2"]:
    return spans[np.isfinite(spans).all(-1)]


def _share(spans: Float[np.ndarray, "n 2"], first: int, side: int) -> float:
    """The mean share of the spans that lies between first and first + side; 1 of none."""
    if not len(spans):
        return 1.0
    low, high = spans.T
    shown = np.clip(np.minimum(high, first + side) - np.maximum(low, first), 0, None)
    return float((shown / (high - low)).mean())


def _better(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    for a, b in zip(one, other, strict=True):
        if abs(a - b) > _EQUAL:
            return a > b
    return False
