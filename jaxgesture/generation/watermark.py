"""A visible watermark: white text on a dark plate, in the lower right corner of a frame.

With plate P (its opacity) and text T (its coverage, antialiased), a pixel v becomes

    v (1 - P) (1 - T) + 255 T,

a line in v: both factors are computed once, in fixed point, and a frame costs one multiplication
and one addition for each pixel of the box. On the whitest picture the plate leaves (1 - P) 255,
against which white text has a contrast of 8.5 (WCAG 2 asks for 4.5); on any other it has more.
"""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxgesture.core.errors import UserError

_OPACITY = 0.7
# The text's size is this part of the frame's shorter side, but never below what can be read.
_PART, _SMALLEST = 1 / 16, 8
# Factors are whole numbers of this many parts.
_ONE = 256


class Watermark:
    """A text that is drawn into frames of one size.

    Args:
      text: one line, in the letters, digits and signs of ASCII.
      size: side of square frames, or (height, width), pixels.

    Attributes:
      box: (top, bottom, left, right) of the plate, beyond which no pixel changes.

    Raises:
      UserError: no text, a sign that the font lacks, or a text that is too long for the frames.
    """

    def __init__(self, text: str, size: int | tuple[int, int]):
        height, width = (size, size) if isinstance(size, int) else size
        coverage = _coverage(text, height, width)
        # Away from the corner, where players and rounded frames cut.
        margin = min(height, width) // 64
        bottom, right = height - margin, width - margin
        self.box = bottom - coverage.shape[0], bottom, right - coverage.shape[1], right
        keep = np.rint(_ONE * (1 - _OPACITY) * (1 - coverage))
        self._keep = keep.astype(np.uint32)[..., np.newaxis]
        # Half a part more, so that the division rounds.
        self._add = np.rint(_ONE * 255 * coverage + _ONE / 2).astype(np.uint32)[..., np.newaxis]

    def draw(self, frames: UInt8[np.ndarray, "*b h w 3"]) -> UInt8[np.ndarray, "*b h w 3"]:
        """Returns frames with the text in them; those that are given stay as they are."""
        top, bottom, left, right = self.box
        marked = frames.copy()
        part = marked[..., top:bottom, left:right, :]
        part[...] = np.minimum((part * self._keep + self._add) // _ONE, 255)
        return marked


def _coverage(text: str, height: int, width: int) -> np.ndarray:
    """How much of each pixel of the plate the text covers, 0 to 1."""
    from PIL import Image, ImageDraw, ImageFont

    if not text.strip():
        raise UserError("the watermark has no text; write what it shall say, or leave it out")
    side = min(height, width)
    font = ImageFont.load_default(size=max(_SMALLEST, round(side * _PART)))
    lacking = sorted({sign for sign in text if not _has(font, sign)})
    if lacking:
        raise UserError(
            f"the watermark's font has no {' '.join(map(ascii, lacking))}; write it in one line of "
            "ASCII letters, digits and signs"
        )
    left, top, right, bottom = font.getbbox(text)
    pad = max(2, round(side / 100))
    shape = int(bottom - top) + 2 * pad, int(right - left) + 2 * pad
    room = height - 2 * (side // 64), width - 2 * (side // 64)
    if shape[0] > room[0] or shape[1] > room[1]:
        raise UserError(
            f"the watermark {text!r} takes {shape[1]} x {shape[0]} pixels, and frames of {width} x "
            f"{height} have room for {room[1]} x {room[0]}; choose a shorter text"
        )
    plate = Image.new("L", (shape[1], shape[0]))
    ImageDraw.Draw(plate).text((pad - left, pad - top), text, fill=255, font=font)
    return np.asarray(plate, np.float32) / 255


def _has(font: Any, sign: str) -> bool:
    """Whether a font can draw a sign, and draws no box in its place."""
    drawn, box = font.getmask(sign), font.getmask("\uffff")
    return (drawn.size, bytes(drawn)) != (box.size, bytes(box))
