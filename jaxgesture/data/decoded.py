"""Turning decoded video frames into upright, cropped, resized RGB pictures.

The colour matrix and range follow the tags of the stream; untagged pictures are taken as limited
range, BT.709 from 1280 columns or 577 rows on, else BT.601, as players do.
"""

from typing import Any

import numpy as np

from jaxgesture.data.image import Crop, crop_box, output_size, resize

# H.273 matrix coefficients -> swscale's numbers.
_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_LIMITED, _FULL = 1, 2


def pixel_aspect(stream: Any) -> float:
    """Returns width / height of one stored pixel; 1 where the file says nothing sensible."""
    aspect = stream.sample_aspect_ratio
    return float(aspect) if aspect and 0.1 < aspect < 10 else 1.0


def _orientation(frame: Any) -> tuple[bool, bool, bool]:
    """Returns (transpose, mirror x, mirror y), to be applied in this order, of a display matrix.

    The file asks for x' = a x + c y, y' = b x + d y; only quarter turns and mirrors are used.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, c < 0, b < 0
    return False, a < 0, d < 0


def _colour(frame: Any) -> dict[str, int]:
    """Returns the matrix and range for swscale, by the tags, else by the usual conventions."""
    name = frame.format.name
    if frame.format.is_rgb or name == "pal8":
        return {}
    full = frame.color_range == _FULL or name.startswith("yuvj")
    full = full or (name.startswith("gray") and frame.color_range != _LIMITED)
    untagged = 1 if frame.width >= 1280 or frame.height > 576 else 5
    return {
        "src_colorspace": _MATRIX.get(int(frame.colorspace), untagged),
        "src_color_range": _FULL if full else _LIMITED,
        "dst_color_range": _FULL,
    }


class Renderer:
    """Turns decoded frames of a stream into RGB arrays (see `video.read_frames`)."""

    def __init__(self, stream: Any, size: int | None, crop: Crop):
        from av.video.reformatter import Interpolation, VideoReformatter

        self.reformatter = VideoReformatter()
        rounding = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
        self.exact = int(Interpolation.BICUBIC | rounding)
        self.area = int(Interpolation.AREA | rounding)
        self.aspect = pixel_aspect(stream)
        self.size = size
        self.crop: Crop = crop
        self._turn: tuple[bool, bool, bool] | None = None

    def turn(self, frame: Any) -> tuple[bool, bool, bool]:
        """Returns the orientation of the stream, read from its first frame.

        Asking every frame would keep it in memory: its side data and the frame hold each other.
        """
        if self._turn is None:
            self._turn = _orientation(frame)
        return self._turn

    def shown(self, frame: Any) -> tuple[float, float]:
        """Returns width and height as shown."""
        width, height = float(round(frame.width * self.aspect)), float(frame.height)
        return (height, width) if self.turn(frame)[0] else (width, height)

    def __call__(self, frame: Any) -> np.ndarray:
        """Returns uint8 (h, w, 3)."""
        width, height = self.shown(frame)
        box = crop_box(width, height, self.crop)
        target = output_size(box, self.size)
        transpose, mirror_x, mirror_y = self.turn(frame)
        # Large pictures are first reduced by area while they are converted: several times faster.
        shrink = int(min((box[2] - box[0]) / target[0], (box[3] - box[1]) / target[1]) / 2)
        shape: dict[str, int] = {}
        if shrink >= 2:
            shape = {
                "width": round(frame.width / shrink),
                "height": round(frame.height / shrink),
            }
        rgb = self.reformatter.reformat(
            frame,
            format="rgb24",
            interpolation=self.area if shape else self.exact,
            threads=1,
            **shape,
            **_colour(frame),
        ).to_ndarray()
        if transpose:
            rgb = rgb.transpose(1, 0, 2)
        rgb = rgb[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
        to_x, to_y = rgb.shape[1] / width, rgb.shape[0] / height
        stored = box[0] * to_x, box[1] * to_y, box[2] * to_x, box[3] * to_y
        return resize(np.ascontiguousarray(rgb), stored, target)
