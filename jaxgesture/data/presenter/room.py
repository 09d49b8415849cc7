"""Rooms behind the synthetic presenter: softly lit, a little out of focus, the same all clip."""

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from jaxgesture.data.presenter.canvas import (
    Canvas,
    Colour,
    ellipse,
    glow,
    gradient,
    luminance,
    mix,
    smooth_curve,
)
from jaxgesture.data.presenter.looks import Look


def paint_room(size: int, look: Look) -> Image.Image:
    """The background as an RGB image on the scale of a canvas of this size."""
    canvas = Canvas(size)
    side = canvas.side
    canvas.image.paste(gradient(side, *look.wall), (0, 0))
    _ROOMS[look.room](canvas, look)
    image = canvas.image
    if look.mirrored_room:
        image = ImageOps.mirror(image)
    image = image.filter(ImageFilter.GaussianBlur(0.005 * side))
    bright = luminance(look.wall[0]) > 150
    warm = Image.new("RGB", (side, side), (255, 246, 226))
    image.paste(warm, (0, 0), glow(side, 0.42, 0.30, 0.46, 0.42 if bright else 0.22))
    dark = Image.new("RGB", (side, side), mix(look.wall[1], (20, 14, 40), 0.7))
    image.paste(dark, (0, 0), ImageOps.invert(glow(side, 0.45, 0.40, 0.95, 1.0, 3.0)))
    return image


def _box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def _plant(canvas: Canvas, x: float, y: float, scale: float, leaf: Colour, pot: Colour) -> None:
    """A potted plant whose pot stands on (x, y)."""
    for i, angle in enumerate(np.radians([-68, -40, -14, 12, 38, 66])):
        length = scale * (0.11 + 0.035 * (i % 3))
        tip = np.array([x + length * np.sin(angle), y - 0.07 * scale - length * np.cos(angle)])
        root = np.array([x, y - 0.07 * scale])
        across = np.array([np.cos(angle), np.sin(angle)]) * 0.026 * scale
        middle = 0.55 * tip + 0.45 * root
        blade = smooth_curve([tuple(p) for p in (root, middle - across, tip, middle + across)])
        canvas.polygon(blade, mix(leaf, (20, 50, 50), 0.3) if i % 2 else leaf)
        canvas.capsule(root, 0.8 * tip + 0.2 * root, 0.002, 0.001, mix(leaf, (255, 255, 220), 0.3))
    body = np.array([(-0.05, -0.08), (0.05, -0.08), (0.038, 0.0), (-0.038, 0.0)]) * scale
    canvas.polygon(body + (x, y), pot)
    canvas.polygon(_box(x - 0.055 * scale, y - 0.09 * scale, x + 0.055 * scale, y - 0.07 * scale),
                   mix(pot, (255, 255, 255), 0.2))  # fmt: skip


def _books(canvas: Canvas, x: float, y: float, count: int, look: Look) -> None:
    tones = (
        look.accent,
        look.furniture,
        mix(look.plant, look.wall[0], 0.3),
        mix(look.wall[1], (255, 255, 255), 0.35),
        mix(look.accent, look.furniture, 0.6),
    )
    for i in range(count):
        height = (0.085, 0.1, 0.076, 0.094, 0.088)[i % 5]
        width = (0.022, 0.017, 0.026, 0.02, 0.016)[(i * 3) % 5]
        canvas.polygon(_box(x, y - height, x + width, y), tones[(i * 2 + look.pattern) % 5])
        canvas.polygon(_box(x, y - height * 0.8, x + width, y - height * 0.72), look.wall[0], 0.6)
        x += width + 0.003


def _studio(canvas: Canvas, look: Look) -> None:
    top, bottom = look.wall
    for i, x in enumerate(np.arange(-0.05, 1.0, 0.18)):
        canvas.polygon(
            _box(x, 0, x + 0.165, 1), mix(top, look.furniture, 0.12 + 0.05 * (i % 2)), 0.55
        )
        canvas.polygon(_box(x + 0.165, 0, x + 0.18, 1), mix(bottom, look.furniture, 0.5), 0.5)
    canvas.polygon(ellipse(0.5, 0.36, 0.43, 0.43, steps=64), mix(top, (255, 255, 255), 0.25), 0.35)
    canvas.polygon(_box(0, 0.86, 1, 1), look.furniture, 0.5)
    _plant(canvas, 0.90, 0.90, 1.3, look.plant, mix(look.accent, look.furniture, 0.3))
    canvas.polygon(_box(0.035, 0.16, 0.055, 0.74), mix(look.accent, (255, 255, 255), 0.5))


def _shelf(canvas: Canvas, look: Look) -> None:
    edge = mix(look.furniture, (255, 255, 255), 0.12)
    for y in (0.30, 0.62):
        for x0, x1 in ((0.0, 0.24), (0.76, 1.0)):
            canvas.polygon(
                _box(x0, y + 0.02, x1, y + 0.06), mix(look.wall[1], (20, 10, 40), 0.3), 0.35
            )
            canvas.polygon(_box(x0, y, x1, y + 0.022), edge)
    _books(canvas, 0.01, 0.30, 5, look)
    _plant(canvas, 0.185, 0.30, 0.75, look.plant, look.accent)
    _books(canvas, 0.82, 0.62, 7, look)
    _plant(canvas, 0.88, 0.30, 1.0, look.plant, mix(look.wall[0], (255, 255, 255), 0.4))
    vase = smooth_curve([(0.09, 0.62), (0.055, 0.585), (0.075, 0.53), (0.075, 0.5), (0.105, 0.5),
                         (0.105, 0.53), (0.125, 0.585)])  # fmt: skip
    canvas.polygon(vase, look.accent)
    canvas.polygon(ellipse(0.185, 0.585, 0.03, 0.034), mix(look.plant, look.wall[0], 0.4))


def _window(canvas: Canvas, look: Look) -> None:
    sky = mix((170, 214, 240), look.wall[0], 0.25)
    frame = mix(look.wall[0], (255, 255, 255), 0.65)
    canvas.polygon(_box(0.60, 0.06, 0.97, 0.66), frame)
    canvas.polygon(_box(0.62, 0.08, 0.95, 0.63), sky)
    for x, y, r in ((0.70, 0.26, 0.05), (0.76, 0.23, 0.065), (0.83, 0.27, 0.05)):
        canvas.polygon(ellipse(x, y, r, r * 0.62), (255, 255, 255), 0.85)
    hills = smooth_curve([(0.62, 0.54), (0.72, 0.48), (0.82, 0.53), (0.95, 0.46), (0.95, 0.63),
                          (0.62, 0.63)])  # fmt: skip
    canvas.polygon(np.clip(hills, (0.62, 0), (0.95, 0.63)), mix(look.plant, sky, 0.35))
    canvas.polygon(_box(0.778, 0.08, 0.792, 0.63), frame)
    canvas.polygon(_box(0.62, 0.345, 0.95, 0.36), frame)
    canvas.polygon(_box(0.58, 0.64, 0.99, 0.68), mix(frame, look.furniture, 0.25))
    curtain = mix(look.accent, look.wall[0], 0.45)
    for x, w in ((0.55, 0.09), (0.93, 0.09)):
        canvas.polygon(smooth_curve([(x, 0.03), (x + w, 0.03), (x + w * 0.8, 0.4), (x + w, 0.8),
                                     (x - 0.01, 0.8)]), curtain)  # fmt: skip
        canvas.polygon(
            _box(x + 0.03, 0.05, x + 0.042, 0.79), mix(curtain, look.furniture, 0.3), 0.5
        )
    canvas.polygon(_box(0.52, 0.02, 1.0, 0.04), look.furniture)
    _plant(canvas, 0.12, 0.86, 1.5, look.plant, look.furniture)
    canvas.polygon(
        np.array([(0.0, 0.3), (0.42, 0.12), (0.42, 0.5), (0.0, 0.8)]), (255, 250, 225), 0.16
    )


def _gallery(canvas: Canvas, look: Look) -> None:
    frames = ((0.05, 0.10, 0.25, 0.36), (0.07, 0.44, 0.23, 0.60), (0.75, 0.08, 0.95, 0.24),
              (0.77, 0.32, 0.95, 0.58))  # fmt: skip
    paper = mix(look.wall[0], (255, 255, 255), 0.7)
    for i, (x0, y0, x1, y1) in enumerate(frames):
        canvas.polygon(_box(x0 + 0.008, y0 + 0.012, x1 + 0.01, y1 + 0.016), (30, 20, 50), 0.22)
        canvas.polygon(_box(x0, y0, x1, y1), look.furniture)
        canvas.polygon(_box(x0 + 0.012, y0 + 0.012, x1 - 0.012, y1 - 0.012), paper)
        cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
        r = 0.28 * min(x1 - x0, y1 - y0)
        canvas.polygon(ellipse(cx - 0.1 * r, cy - 0.2 * r, r, r),
                       (look.accent, look.plant, look.wall[1], look.accent)[i])  # fmt: skip
        low, left, right = y1 - 0.025, x0 + 0.025, x1 - 0.025
        peaks = [(cx - 0.02, cy + 0.4 * r), (cx + 0.02, cy + 0.8 * r), (x1 - 0.04, cy + 0.2 * r)]
        hill = np.array([(left, low), *peaks, (right, low)])
        canvas.polygon(hill, (look.plant, look.furniture, look.accent, look.plant)[i], 0.85)
    canvas.polygon(_box(0, 0.74, 1, 0.755), mix(look.wall[0], (255, 255, 255), 0.5), 0.7)
    canvas.polygon(_box(0, 0.755, 1, 1), mix(look.wall[1], look.furniture, 0.35), 0.7)


def _lamp(canvas: Canvas, look: Look) -> None:
    canvas.polygon(_box(0, 0.80, 1, 1), mix(look.wall[1], look.furniture, 0.55))
    sofa = mix(look.furniture, look.plant, 0.35)
    canvas.polygon(smooth_curve([(-0.1, 0.66), (0.0, 0.60), (0.24, 0.61), (0.30, 0.70),
                                 (0.30, 1.05), (-0.1, 1.05)]), sofa)  # fmt: skip
    cushion = smooth_curve([(0.06, 0.66), (0.18, 0.64), (0.21, 0.76), (0.08, 0.79)])
    canvas.polygon(cushion, mix(look.accent, look.wall[0], 0.2))
    pole = mix(look.furniture, (20, 16, 30), 0.3)
    canvas.polygon(_box(0.865, 0.30, 0.875, 0.93), pole)
    canvas.polygon(ellipse(0.87, 0.93, 0.06, 0.012), pole)
    side = canvas.side
    shine = Image.new("RGB", (side, side), (255, 232, 170))
    canvas.image.paste(shine, (0, 0), glow(side, 0.87, 0.25, 0.24, 0.65))
    shade = np.array([(0.82, 0.14), (0.92, 0.14), (0.965, 0.31), (0.775, 0.31)])
    canvas.polygon(shade, mix(look.accent, (255, 244, 210), 0.6))
    canvas.polygon(_box(0.775, 0.296, 0.965, 0.31), mix(look.accent, look.furniture, 0.3), 0.7)
    canvas.polygon(_box(0.06, 0.12, 0.26, 0.34), mix(look.wall[0], (255, 255, 255), 0.4))
    canvas.polygon(_box(0.08, 0.14, 0.24, 0.32), mix(look.plant, look.wall[0], 0.3))
    canvas.polygon(ellipse(0.16, 0.23, 0.05, 0.05), look.accent)


_ROOMS = {
    "studio": _studio,
    "shelf": _shelf,
    "window": _window,
    "gallery": _gallery,
    "lamp": _lamp,
}
