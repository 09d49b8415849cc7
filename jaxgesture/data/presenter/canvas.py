"""Flat drawing with smooth edges: a supersampled Pillow image addressed in fractions of the frame.

Also the small geometry that all of the presenter's parts share: smooth curves through points,
capsules, mixing of colours.
"""

import math

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageChops, ImageDraw

Colour = tuple[int, int, int]

SHADOW = (0.48, 0.36, 0.50)
"""What a full shadow leaves of red, green and blue."""


def supersampling(size: int) -> int:
    """Samples a pixel side: more where a pixel is a larger part of the figure."""
    return 5 if size <= 64 else 4 if size <= 256 else 2


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with `share` of `b` in it."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def shaded(colour: Colour, amount: float) -> Colour:
    """`colour` in shadow, `amount` from 0 (lit) to 1: multiplied, so that it stays saturated."""
    red, green, blue = (
        round(c * (1.0 - amount * (1.0 - s))) for c, s in zip(colour, SHADOW, strict=True)
    )
    return red, green, blue


def cast_shadow(image: Image.Image, mask: Image.Image) -> None:
    """Darkens `image` in place where the L-mode `mask` of its size is bright."""
    full = tuple(round(255 * s) for s in SHADOW)
    dark = ImageChops.multiply(image, Image.new("RGB", image.size, full))
    image.paste(dark, (0, 0), mask)


def luminance(colour: Colour) -> float:
    """Perceived brightness in [0, 255]."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def distance(a: Colour, b: Colour) -> float:
    """Euclidean distance of two colours."""
    return math.dist(a, b)


def smooth_curve(points: list[tuple[float, float]], steps: int = 6) -> Float[np.ndarray, "n 2"]:
    """A closed Catmull-Rom curve through `points`, `steps` vertices a span."""
    p = np.asarray(points, dtype=float)
    a, b, c, d = np.roll(p, 1, 0), p, np.roll(p, -1, 0), np.roll(p, -2, 0)
    u = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (q[:, None, :] for q in (a, b, c, d))
    curve = 0.5 * (
        2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3
    )
    return curve.reshape(-1, 2)


def symmetric(half: list[tuple[float, float]], steps: int = 6) -> Float[np.ndarray, "n 2"]:
    """The closed smooth curve through `half` (right side, top to bottom) and its mirror image."""
    mirrored = [(-x, y) for x, y in reversed(half) if abs(x) > 1e-9]
    return smooth_curve([*half, *mirrored], steps)


def ellipse(
    x: float, y: float, rx: float, ry: float, tilt: float = 0.0, steps: int = 24
) -> Float[np.ndarray, "n 2"]:
    """Vertices of an ellipse, turned by `tilt` radians."""
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    dx, dy = rx * np.cos(angle), ry * np.sin(angle)
    c, s = math.cos(tilt), math.sin(tilt)
    return np.stack([x + c * dx - s * dy, y + s * dx + c * dy], axis=1)


_HALF_TURN = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 7)


def capsule(a: np.ndarray, b: np.ndarray, ra: float, rb: float) -> Float[np.ndarray, "n 2"]:
    """A tapered stroke with round ends from `a` (radius `ra`) to `b` (radius `rb`)."""
    delta = b - a
    length = math.hypot(delta[0], delta[1])
    along = delta / length if length > 1e-9 else np.array([1.0, 0.0])
    across = np.array([-along[1], along[0]])
    c, s = np.cos(_HALF_TURN)[:, None], np.sin(_HALF_TURN)[:, None]
    head = b + rb * (c * along + s * across)
    tail = a - ra * (c * along + s * across)
    return np.concatenate([head, tail])


class Canvas:
    """A picture under construction; coordinates are fractions of its side."""

    def __init__(self, size: int, background: Image.Image | None = None) -> None:
        """Starts from a copy of `background` (a canvas image of the same size) or from black."""
        self.size = size
        self.factor = supersampling(size)
        self.side = size * self.factor
        if background is None:
            self.image = Image.new("RGB", (self.side, self.side))
        else:
            self.image = background.copy()
        self._solid = ImageDraw.Draw(self.image)
        self._glass = ImageDraw.Draw(self.image, "RGBA") if self.image.mode == "RGB" else None

    def polygon(self, points: np.ndarray, colour: Colour, alpha: float = 1.0) -> None:
        """Fills a polygon of (n, 2) points; `alpha` below 1 lets what is beneath shine through."""
        flat = np.rint(points * self.side - 0.5).astype(int).reshape(-1).tolist()
        if alpha >= 1.0:
            self._solid.polygon(flat, fill=colour)
        elif self._glass is not None:
            self._glass.polygon(flat, fill=(*colour, round(255 * alpha)))

    def capsule(
        self, a: np.ndarray, b: np.ndarray, ra: float, rb: float, colour: Colour, alpha: float = 1.0
    ) -> None:
        """Fills a tapered stroke with round ends."""
        self.polygon(capsule(a, b, ra, rb), colour, alpha)

    def pixels(self) -> UInt8[np.ndarray, "h w 3"]:
        """The picture at its true size."""
        return np.asarray(self.image.reduce(self.factor))


def gradient(side: int, top: Colour, bottom: Colour) -> Image.Image:
    """A vertical gradient as a square image."""
    ramp = np.linspace(0, 1, side)[:, None, None]
    rows = np.asarray(top) * (1 - ramp) + np.asarray(bottom) * ramp
    return Image.fromarray(np.broadcast_to(rows + 0.5, (side, side, 3)).astype(np.uint8))


def glow(
    side: int, x: float, y: float, radius: float, strength: float, power: float = 2.0
) -> Image.Image:
    """A soft round spot as a mask: `strength` in [0, 1] at its centre, Gaussian fall-off."""
    axis = (np.arange(side) + 0.5) / side
    distance = np.hypot(axis[None, :] - x, axis[:, None] - y) / radius
    return Image.fromarray((255 * strength * np.exp(-(distance**power)) + 0.5).astype(np.uint8))
