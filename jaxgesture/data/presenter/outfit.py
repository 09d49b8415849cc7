"""The torso of the synthetic presenter: a sprite with cloth, collar, pattern and soft shading.

It is drawn once a clip, because a torso only sways and breathes.
"""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from jaxgesture.data.presenter.canvas import (
    Canvas,
    Colour,
    cast_shadow,
    ellipse,
    glow,
    mix,
    smooth_curve,
)
from jaxgesture.data.presenter.looks import Look

Points = list[tuple[float, float]]

_TORSO: Points = [(0.052, 0.512), (0.082, 0.538), (0.135, 0.556), (0.180, 0.574), (0.212, 0.612),
                  (0.216, 0.68), (0.196, 0.78), (0.186, 0.90), (0.192, 1.06)]  # fmt: skip


def _both(half: Points) -> np.ndarray:
    """Right half (top to bottom), mirrored about the frame's middle."""
    left = [(-x, y) for x, y in reversed(half) if abs(x) > 1e-9]
    points = np.asarray([*half, *left])
    points[:, 0] += 0.5
    return points


def _round(half: Points) -> np.ndarray:
    return smooth_curve([(float(x), float(y)) for x, y in _both(half)], 6)


def _one(points: Points, side: float) -> np.ndarray:
    out = np.asarray(points) * np.array([side, 1.0])
    out[:, 0] += 0.5
    return out


def paint_torso(size: int, look: Look) -> Image.Image:
    """The torso as an RGBA image on the scale of a canvas of this size, a little higher than it."""
    canvas = Canvas(size)
    canvas.image.paste(look.cloth, (0, 0, canvas.side, canvas.side))
    _OUTFITS[look.outfit](canvas, look)
    sprite = _shade(canvas)
    mask = _mask(canvas, _round(_TORSO))
    opening = _NECKLINES.get(look.outfit)
    if opening is not None:
        # The neck itself is painted beneath the torso and shows through its opening.
        mask = ImageChops.subtract(mask, _mask(canvas, _round(opening)))
    sprite.putalpha(mask)
    # Breathing lifts the torso; its last row goes on below the frame so that no gap opens.
    below = round(0.04 * canvas.side)
    rows = np.pad(np.asarray(sprite), ((0, below), (0, 0), (0, 0)), mode="edge")
    return Image.fromarray(rows)


_NECKLINES: dict[str, Points] = {
    "hoodie": [(0.0, 0.46), (0.058, 0.47), (0.06, 0.522), (0.036, 0.552), (0.0, 0.562)],
    "dress": [(0.0, 0.44), (0.075, 0.46), (0.083, 0.525), (0.06, 0.58), (0.0, 0.606)],
    "jumper": [(0.0, 0.46), (0.058, 0.47), (0.06, 0.520), (0.036, 0.545), (0.0, 0.553)],
    "tee": [(0.0, 0.46), (0.06, 0.47), (0.066, 0.522), (0.04, 0.556), (0.0, 0.567)],
    "jacket": [(0.0, 0.46), (0.05, 0.47), (0.050, 0.518), (0.022, 0.56), (0.0, 0.58)],
    "shirt": [(0.0, 0.46), (0.05, 0.47), (0.050, 0.518), (0.022, 0.56), (0.0, 0.58)],
    "cardigan": [(0.0, 0.46), (0.06, 0.47), (0.064, 0.522), (0.038, 0.552), (0.0, 0.563)],
}


def _mask(canvas: Canvas, points: np.ndarray) -> Image.Image:
    mask = Image.new("L", (canvas.side, canvas.side))
    ImageDraw.Draw(mask).polygon((points * canvas.side).reshape(-1).tolist(), fill=255)
    return mask


def _shade(canvas: Canvas) -> Image.Image:
    """Soft shading: a lit left shoulder, a darker right side, the head's shadow."""
    side = canvas.side
    image = canvas.image
    light = Image.new("RGB", (side, side), (255, 244, 222))
    image.paste(light, (0, 0), glow(side, 0.38, 0.60, 0.22, 0.16))
    cast_shadow(image, glow(side, 0.80, 0.98, 0.34, 0.40))
    cast_shadow(image, glow(side, 0.50, 1.12, 0.34, 0.35))
    shadow = _mask(
        canvas,
        smooth_curve([(0.40, 0.45), (0.62, 0.45), (0.60, 0.55), (0.53, 0.585), (0.45, 0.56)]),
    )
    shadow = shadow.filter(ImageFilter.GaussianBlur(0.012 * side)).point(lambda v: v * 0.45)
    cast_shadow(image, shadow)
    return image


def _line(canvas: Canvas, points: Points, width: float, colour: Colour, alpha: float = 1.0) -> None:
    for a, b in zip(points, points[1:], strict=False):
        canvas.capsule(np.asarray(a), np.asarray(b), width / 2, width / 2, colour, alpha)


def _shirt_front(canvas: Canvas, cloth: Colour, look: Look) -> None:
    """Shirt with a collar and a row of buttons, over the whole torso."""
    canvas.polygon(np.array([(0, 0.4), (1, 0.4), (1, 1), (0, 1)]), cloth)
    crease = mix(cloth, (40, 40, 70), 0.22)
    _line(canvas, [(0.5, 0.57), (0.5, 1.0)], 0.004, crease)
    for y in np.arange(0.615, 1.0, 0.07):
        x = np.array([0.5, y])
        canvas.capsule(x, x, 0.006, 0.006, crease)
    for side in (-1.0, 1.0):
        canvas.polygon(
            _one([(0.056, 0.495), (0.0, 0.578), (0.045, 0.628), (0.086, 0.535)], side), crease
        )
        canvas.polygon(
            _one([(0.054, 0.492), (0.0, 0.572), (0.043, 0.618), (0.082, 0.53)], side),
            mix(cloth, (255, 255, 255), 0.3 if side < 0 else 0.1),
        )


def _jacket(canvas: Canvas, look: Look) -> None:
    _shirt_front(canvas, look.second_cloth, look)
    if look.pattern % 2 == 0:
        tie = mix(look.accent, look.cloth, 0.12)
        canvas.polygon(
            _both([(0.014, 0.572), (0.018, 0.588), (0.009, 0.608)]), mix(tie, (0, 0, 0), 0.2)
        )
        canvas.polygon(_both([(0.010, 0.606), (0.024, 0.86), (0.0, 0.89)]), tie)
    dark, light = mix(look.cloth, (16, 12, 36), 0.3), mix(look.cloth, (255, 255, 255), 0.1)
    for side in (-1.0, 1.0):
        body = [(0.07, 0.47), (0.075, 0.56), (0.068, 0.70), (0.0, 0.87), (0.0, 1.1), (0.5, 1.1),
                (0.5, 0.4)]  # fmt: skip
        canvas.polygon(_one(body, side), look.cloth)
        lapel = [(0.066, 0.505), (0.098, 0.545), (0.128, 0.640), (0.103, 0.652), (0.116, 0.675),
                 (0.0, 0.885), (0.052, 0.68), (0.072, 0.58)]  # fmt: skip
        shadow = np.asarray(_one(lapel, side)) + np.array([0.004, 0.007])
        canvas.polygon(shadow, dark)
        canvas.polygon(_one(lapel, side), light if side < 0 else mix(look.cloth, light, 0.5))
    canvas.polygon(np.array([(0.585, 0.70), (0.64, 0.692), (0.641, 0.702), (0.586, 0.71)]), dark)
    canvas.polygon(
        np.array([(0.59, 0.702), (0.604, 0.672), (0.618, 0.692), (0.63, 0.668), (0.635, 0.694)]),
        look.accent,
    )
    button = np.array([0.5, 0.915])
    canvas.capsule(button, button, 0.008, 0.008, dark)


def _hoodie(canvas: Canvas, look: Look) -> None:
    dark, light = mix(look.cloth, (20, 12, 40), 0.24), mix(look.cloth, (255, 255, 255), 0.12)
    for side in (-1.0, 1.0):
        hood = [(0.05, 0.49), (0.105, 0.525), (0.108, 0.565), (0.062, 0.602), (0.0, 0.622),
                (0.0, 0.56), (0.036, 0.552), (0.06, 0.52)]  # fmt: skip
        canvas.polygon(_one(hood, side) + np.array([0.0, 0.008]), dark)
        canvas.polygon(_one(hood, side), light)
        _line(
            canvas,
            [tuple(p) for p in _one([(0.026, 0.60), (0.031, 0.70)], side)],
            0.008,
            look.second_cloth,
        )
        end = _one([(0.031, 0.705)], side)[0]
        canvas.capsule(end, end + np.array([0.0, 0.014]), 0.006, 0.006, look.accent)
    pocket = _both([(0.085, 0.84), (0.135, 0.95), (0.135, 1.1)])
    canvas.polygon(pocket + np.array([0.0, -0.006]), dark)
    canvas.polygon(pocket, light)


def _dress(canvas: Canvas, look: Look) -> None:
    dark = mix(look.cloth, (30, 10, 40), 0.22)
    if look.pattern != 0:
        for i, y in enumerate(np.arange(0.57, 1.0, 0.052)):
            for x in np.arange(0.24 + 0.03 * (i % 2), 0.8, 0.06):
                dot = np.array([x, y])
                canvas.capsule(dot, dot, 0.0085, 0.0085, look.second_cloth, 0.8)
    belt = np.array([(0.2, 0.885), (0.5, 0.895), (0.8, 0.885), (0.8, 0.925), (0.5, 0.935),
                     (0.2, 0.925)])  # fmt: skip
    canvas.polygon(belt, dark)
    rim = _round([(0.0, 0.44), (0.086, 0.46), (0.094, 0.525), (0.068, 0.588), (0.0, 0.617)])
    canvas.polygon(rim, mix(look.cloth, (255, 255, 255), 0.2))
    for u in np.linspace(-1, 1, 9):
        bead = np.array([0.5 + 0.062 * u, 0.535 + 0.052 * (1 - u * u)])
        canvas.capsule(bead, bead, 0.006, 0.006, look.accent)


def _jumper(canvas: Canvas, look: Look) -> None:
    light, dark = mix(look.cloth, (255, 255, 255), 0.16), mix(look.cloth, (20, 10, 40), 0.2)
    if look.pattern % 2 == 0:
        for y in (0.66, 0.73, 0.80, 0.87, 0.94):
            band = np.array([(0.2, y), (0.5, y + 0.012), (0.8, y), (0.8, y + 0.03),
                             (0.5, y + 0.042), (0.2, y + 0.03)])  # fmt: skip
            canvas.polygon(band, look.second_cloth)
    else:
        x = np.linspace(0.2, 0.8, 21)
        for y, colour in (
            (0.66, look.second_cloth),
            (0.71, look.accent),
            (0.76, look.second_cloth),
        ):
            zig = y + 0.02 * (np.arange(21) % 2)
            band = np.concatenate([np.stack([x, zig], 1), np.stack([x, zig + 0.02], 1)[::-1]])
            canvas.polygon(band, colour)
    outer = _round([(0.0, 0.45), (0.068, 0.46), (0.076, 0.522), (0.05, 0.562), (0.0, 0.575)])
    canvas.polygon(outer + np.array([0.0, 0.005]), dark)
    canvas.polygon(outer, light)


def _turtleneck(canvas: Canvas, look: Look) -> None:
    light, dark = mix(look.cloth, (255, 255, 255), 0.14), mix(look.cloth, (20, 10, 40), 0.22)
    roll = _round([(0.0, 0.478), (0.056, 0.484), (0.068, 0.512), (0.064, 0.545), (0.0, 0.560)])
    canvas.polygon(roll + np.array([0.0, 0.010]), dark)
    canvas.polygon(roll, light)
    for x in np.linspace(-0.15, 0.15, 9):
        _line(canvas, [(0.5 + x, 0.6), (0.5 + x * 1.05, 1.0)], 0.003, dark, 0.35)
    chain = [(0.5 + 0.085 * u, 0.575 + 0.085 * (1 - u * u)) for u in np.linspace(-1, 1, 17)]
    _line(canvas, chain, 0.0045, look.accent)
    pendant = np.array([0.5, 0.668])
    canvas.capsule(pendant, pendant, 0.013, 0.013, look.accent)


def _plain_shirt(canvas: Canvas, look: Look) -> None:
    _shirt_front(canvas, look.cloth, look)
    if look.pattern % 2:
        for x in np.arange(0.29, 0.73, 0.032):
            _line(canvas, [(x, 0.5), (x, 1.0)], 0.004, look.second_cloth, 0.35)
    dark = mix(look.cloth, (20, 14, 40), 0.22)
    pocket = np.array([(0.575, 0.70), (0.645, 0.70), (0.645, 0.765), (0.61, 0.782), (0.575, 0.765)])
    canvas.polygon(pocket + np.array([0.0, 0.004]), dark)
    canvas.polygon(pocket, mix(look.cloth, (255, 255, 255), 0.08))


def _cardigan(canvas: Canvas, look: Look) -> None:
    inner = look.second_cloth
    canvas.polygon(np.array([(0, 0.4), (1, 0.4), (1, 1), (0, 1)]), inner)
    rim = _round([(0.0, 0.45), (0.066, 0.46), (0.072, 0.522), (0.046, 0.56), (0.0, 0.572)])
    canvas.polygon(rim, mix(inner, (60, 60, 90), 0.16))
    dark, light = mix(look.cloth, (20, 12, 40), 0.24), mix(look.cloth, (255, 255, 255), 0.14)
    for side in (-1.0, 1.0):
        body = [(0.07, 0.47), (0.084, 0.56), (0.080, 0.70), (0.055, 1.1), (0.5, 1.1), (0.5, 0.4)]
        canvas.polygon(_one(body, side), look.cloth)
        edge = [(0.066, 0.47), (0.080, 0.56), (0.076, 0.70), (0.051, 1.1), (0.072, 1.1),
                (0.098, 0.70), (0.103, 0.56), (0.09, 0.5)]  # fmt: skip
        canvas.polygon(_one(edge, side) + np.array([0.003, 0.004]), dark)
        canvas.polygon(_one(edge, side), light)
    for y in (0.76, 0.83, 0.90, 0.97):
        button = np.array([0.5 + 0.082 - 0.06 * (y - 0.7), y])
        canvas.capsule(button, button, 0.0065, 0.0065, look.accent)


def _tee(canvas: Canvas, look: Look) -> None:
    rim = _round([(0.0, 0.45), (0.068, 0.46), (0.076, 0.524), (0.05, 0.568), (0.0, 0.58)])
    canvas.polygon(rim, mix(look.cloth, (255, 255, 255), 0.18))
    if look.pattern % 2:
        canvas.polygon(ellipse(0.5, 0.715, 0.06, 0.06, steps=48), look.accent)
        hill = np.array([(0.447, 0.74), (0.478, 0.70), (0.50, 0.724), (0.527, 0.69), (0.556, 0.735),
                         (0.54, 0.757), (0.50, 0.775), (0.463, 0.76)])  # fmt: skip
        canvas.polygon(hill, look.second_cloth)
    else:
        for i, colour in enumerate((look.second_cloth, look.accent, look.second_cloth)):
            y = 0.66 + 0.035 * i
            canvas.polygon(
                np.array([(0.2, y), (0.8, y), (0.8, y + 0.022), (0.2, y + 0.022)]), colour
            )


_OUTFITS = {
    "jacket": _jacket,
    "hoodie": _hoodie,
    "dress": _dress,
    "jumper": _jumper,
    "shirt": _plain_shirt,
    "turtleneck": _turtleneck,
    "cardigan": _cardigan,
    "tee": _tee,
}
