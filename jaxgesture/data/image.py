"""Pictures: reading any still, square crops, antialiased resizing.

Everything is resampled with a Lanczos filter whose support grows with the reduction, so that
nothing aliases when a large picture becomes a small one.
"""

import os
import warnings
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.errors import UserError
from jaxgesture.data.container import check_file

# Transparent parts are shown on a light neutral grey.
BACKGROUND = 224

Crop = str | tuple[float, float, float] | None
CROPS = ("center", "left", "right", "top", "bottom")


def crop_box(width: float, height: float, crop: Crop) -> tuple[float, float, float, float]:
    """Returns the part of a picture to keep as x0, y0, x1, y1 in pixels.

    Args:
      width: of the picture, pixels.
      height: of the picture, pixels.
      crop: "center", "left", "right", "top" or "bottom" keep the largest square there (centred
        along the other axis); (x, y, side) keeps that square, x and y its upper left corner;
        None keeps the whole picture.

    Raises:
      UserError: an unknown word, or a square that is empty or leaves the picture.
    """
    if crop is None:
        return 0.0, 0.0, width, height
    if isinstance(crop, str):
        if crop not in CROPS:
            raise UserError(f"unknown crop {crop!r}; use one of {', '.join(CROPS)}, or x, y, side")
        side = min(width, height)
        x = {"left": 0.0, "right": width - side}.get(crop, (width - side) / 2)
        y = {"top": 0.0, "bottom": height - side}.get(crop, (height - side) / 2)
        # Whole pixels, so that a crop alone does not blur.
        if float(side).is_integer():
            x, y = float(int(x)), float(int(y))
        return x, y, x + side, y + side
    if len(crop) != 3 or not all(np.isfinite(crop)):
        raise UserError(f"crop {tuple(crop)} must be three numbers: x, y, side")
    x, y, side = (float(value) for value in crop)
    if side < 1 or x < 0 or y < 0 or x + side > width or y + side > height:
        raise UserError(
            f"crop x={x:g} y={y:g} side={side:g} leaves the {width:g} x {height:g} picture; "
            "choose a square inside it"
        )
    return x, y, x + side, y + side


def _is_plain_cut(box: tuple[float, float, float, float], size: tuple[int, int]) -> bool:
    x0, y0, x1, y1 = box
    return (x1 - x0, y1 - y0) == size and float(x0).is_integer() and float(y0).is_integer()


def resize(
    image: UInt8[np.ndarray, "h w 3"],
    box: tuple[float, float, float, float],
    size: tuple[int, int],
) -> UInt8[np.ndarray, "height width 3"]:
    """Cuts `box` (x0, y0, x1, y1 in pixels) out and scales it to `size` = (width, height)."""
    from PIL import Image

    x0, y0, x1, y1 = box
    if _is_plain_cut(box, size):
        return np.ascontiguousarray(image[int(y0) : int(y1), int(x0) : int(x1)])
    picture = Image.fromarray(image).resize(
        size, Image.Resampling.LANCZOS, box=box, reducing_gap=2.0
    )
    return np.array(picture)


def _resize_float(
    image: Float[np.ndarray, "h w 3"],
    box: tuple[float, float, float, float],
    size: tuple[int, int],
) -> Float[np.ndarray, "height width 3"]:
    from PIL import Image

    channels = [
        Image.fromarray(np.ascontiguousarray(image[..., c])).resize(
            size, Image.Resampling.LANCZOS, box=box, reducing_gap=2.0
        )
        for c in range(3)
    ]
    # Lanczos overshoots at edges.
    return np.clip(np.stack([np.asarray(c) for c in channels], axis=-1), 0.0, 1.0)


def _to_rgb(picture: Any) -> np.ndarray:
    """Returns uint8 (h, w, 3) for a Pillow picture of any mode."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture).astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError("pixels that are not numbers")
        # Mode I and F have no fixed range: 16 bit integers are what is found in files.
        top = 65535.0 if picture.mode.startswith("I") else max(1.0, float(values.max()))
        grey = np.clip(values / top * 255.0 + 0.5, 0, 255).astype(np.uint8)
        return np.repeat(grey[..., np.newaxis], 3, axis=-1)
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        above = picture.convert("RGBA")
        below = Image.new("RGBA", above.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
        picture = Image.alpha_composite(below, above)
    return np.asarray(picture.convert("RGB"))


def _from_file(path: str | os.PathLike[str]) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    file = check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file) as picture:
                return _to_rgb(picture)
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is not a picture; give a PNG, JPEG or WebP file") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path} has too many pixels; make it smaller first") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); copy or export it again") from error


def _from_array(array: Any) -> np.ndarray:
    """Returns uint8 or float32 (h, w, 3) for an array, its range and shape checked."""
    image = np.asarray(array)
    if image.ndim == 2:
        image = image[..., np.newaxis]
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise UserError(
            f"an image array must have the shape (height, width, 3), not {np.shape(array)}; "
            "put channels last and give one image"
        )
    if image.dtype == np.uint8:
        top = 255
    elif np.issubdtype(image.dtype, np.floating) or image.dtype.name == "bfloat16":
        top = 1.0
        image = image.astype(np.float32)
        if not np.isfinite(image).all():
            raise UserError("an image array holds NaN or infinity; give numbers in [0, 1]")
        low, high = float(image.min()), float(image.max())
        if low < -1e-3 or high > 1 + 1e-3:
            raise UserError(
                f"an image array of floats must lie in [0, 1], not [{low:.3g}, {high:.3g}]; "
                "divide by 255 or give uint8"
            )
        image = np.clip(image, 0.0, 1.0)
    else:
        raise UserError(
            f"an image array must be uint8 or float in [0, 1], not {image.dtype}; convert it"
        )
    if image.shape[-1] == 1:
        return np.repeat(image, 3, axis=-1)
    if image.shape[-1] == 4:
        alpha = image[..., 3:].astype(np.float32) / top
        mixed = image[..., :3] * alpha + BACKGROUND / 255 * top * (1 - alpha)
        return np.rint(mixed).astype(np.uint8) if top == 255 else mixed.astype(np.float32)
    return image


def read_image(
    source: Any, size: int | None = None, crop: Crop = "center"
) -> Float[np.ndarray, "h w 3"]:
    """Returns a picture as RGB float32 in [0, 1].

    Files of any mode are accepted: grey becomes RGB, transparency is shown on light grey, 16 bits
    are reduced to 8, the EXIF orientation is applied; of an animation the first picture is taken.

    Args:
      source: a path, a Pillow picture, or an array (h, w, 3), (h, w), (h, w, 1) or (h, w, 4),
        uint8 or float in [0, 1].
      size: side of the square to return, pixels; None keeps the size of the crop.
      crop: see `crop_box`; with None the whole picture is kept, and `size` becomes the length of
        its shorter side.

    Returns:
      (size, size, 3); with `crop=None`, (h, w, 3).

    Raises:
      UserError: no such file, not a picture, a damaged one; an array of a wrong shape or range; a
        crop that leaves the picture.
    """
    from PIL import Image

    if isinstance(source, str | os.PathLike):
        image = _from_file(source)
    elif isinstance(source, Image.Image):
        image = _to_rgb(source)
    else:
        image = _from_array(source)
    height, width = image.shape[:2]
    box = crop_box(width, height, crop)
    target = output_size(box, size)
    if image.dtype == np.uint8:
        return resize(image, box, target).astype(np.float32) / np.float32(255)
    if _is_plain_cut(box, target):
        return image[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])].copy()
    return _resize_float(image, box, target)


def output_size(box: tuple[float, float, float, float], size: int | None) -> tuple[int, int]:
    """Returns (width, height) in whole pixels for a box whose shorter side becomes `size`.

    Raises:
      UserError: `size` below 1.
    """
    if size is not None and size < 1:
        raise UserError(f"size {size} must be at least 1 pixel")
    width, height = box[2] - box[0], box[3] - box[1]
    scale = 1.0 if size is None else size / min(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))
