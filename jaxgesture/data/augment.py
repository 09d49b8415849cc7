"""Random changes of training images, drawn once and applied alike to all images of an example.

Colour, with r an RGB value in [0, 255] and L the luma weights:

    saturation  r1 = s r + (1 - s) (L . r)
    contrast    r2 = c (r1 - 127.5) + 127.5
    brightness  r3 = b r2

which is one matrix and one offset, so it costs one pass over the pixels. Contrast turns about
mid-grey rather than about the mean of the image, so that both images of a pair change alike.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.errors import UserError
from jaxgesture.data.boxes import mirrored, within

_LUMA = np.array([0.299, 0.587, 0.114])


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """How much training images are changed; all zeros changes nothing.

    Attributes:
        flip: probability of a mirror image.
        crop: largest part of the side that is cut away, in [0, 1); the rest, a square of random
            size and place, is scaled back to the full size.
        brightness: factors are drawn from [1 - brightness, 1 + brightness].
        contrast: likewise.
        saturation: likewise.
    """

    flip: float = 0.5
    crop: float = 0.1
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1

    def __post_init__(self) -> None:
        """Raises `UserError` for a value outside of its range."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1 or (field.name == "crop" and value == 1):
                raise UserError(f"augment.{field.name} is {value}; it must lie in [0, 1]")

    @property
    def changes(self) -> bool:
        """Whether anything can change."""
        return any(getattr(self, field.name) for field in dataclasses.fields(self))


NO_AUGMENTATION = AugmentConfig(flip=0, crop=0, brightness=0, contrast=0, saturation=0)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """One drawn change.

    Attributes:
        flip: mirror left and right (first).
        box: the part kept, as fractions (x0, y0, x1, y1) of the mirrored image; None for all.
        colour: a (3, 4) matrix on (r, g, b, 1) in [0, 255]; None for no change.
    """

    flip: bool
    box: tuple[float, float, float, float] | None
    colour: tuple[float, ...] | None

    def apply(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """The changed image, of the same size."""
        from PIL import Image

        if self.flip:
            image = image[:, ::-1]
        if self.box is None and self.colour is None:
            return np.ascontiguousarray(image)
        height, width = image.shape[:2]
        picture: Any = Image.fromarray(np.ascontiguousarray(image))
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            box = (x0 * width, y0 * height, x1 * width, y1 * height)
            picture = picture.resize((width, height), Image.Resampling.BILINEAR, box=box)
        if self.colour is not None:
            picture = picture.convert("RGB", self.colour)
        return np.array(picture)

    def numbers(self) -> dict[str, np.ndarray]:
        """The change for `animation.augment.augmented`, which makes it later and elsewhere.

        Returns:
            "flip": bool (); where there is one, "crop": float32 (4,), the box; where there is one,
            "colour": float32 (3, 4). All draws of one configuration have the same.
        """
        found = {"flip": np.asarray(self.flip)}
        if self.box is not None:
            found["crop"] = np.asarray(self.box, np.float32)
        if self.colour is not None:
            found["colour"] = np.asarray(self.colour, np.float32).reshape(3, 4)
        return found

    def apply_to_boxes(self, boxes: Float[np.ndarray, "*n k 4"]) -> Float[np.ndarray, "*n k 4"]:
        """Where the boxes of an image lie after `apply`.

        Args:
            boxes: x0, y0, x1, y1 as fractions of the image, in the order of `boxes.PARTS`: a mirror
                image swaps the hands. NaN stays NaN.

        Returns:
            fractions of the changed image. What the crop cuts is cut, or NaN where less than half
            is left.
        """
        if self.flip:
            boxes = mirrored(boxes)
        return boxes if self.box is None else within(boxes, self.box)


def draw(config: AugmentConfig, rng: np.random.Generator) -> Augmentation:
    """Draws a change. The same seven numbers are consumed whatever the settings are."""
    flip, scale, left, top = rng.random(4)
    factors = 1 + rng.uniform(-1, 1, 3) * (config.brightness, config.contrast, config.saturation)
    side = 1 - config.crop * scale
    x, y = left * (1 - side), top * (1 - side)
    box = (x, y, min(x + side, 1.0), min(y + side, 1.0)) if config.crop else None
    colour = None
    if config.brightness or config.contrast or config.saturation:
        colour = _colour_matrix(*factors)
    return Augmentation(bool(flip < config.flip), box, colour)


def _colour_matrix(brightness: float, contrast: float, saturation: float) -> tuple[float, ...]:
    mix = saturation * np.eye(3) + (1 - saturation) * np.broadcast_to(_LUMA, (3, 3))
    offset = np.full((3, 1), 127.5 * (1 - contrast))
    matrix = brightness * np.concatenate([contrast * mix, offset], axis=1)
    return tuple(matrix.reshape(-1).tolist())
