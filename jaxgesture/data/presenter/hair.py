"""Hair, beards, headscarves, glasses and earrings of the synthetic presenter."""

import numpy as np

from jaxgesture.data.presenter.canvas import Colour, ellipse, mix, smooth_curve, symmetric
from jaxgesture.data.presenter.head import EYE_Y, Shape, face_outline, shape
from jaxgesture.data.presenter.looks import Look

Points = list[tuple[float, float]]


def hair_shapes(look: Look) -> tuple[list[Shape], list[Shape], list[Shape]]:
    """Shapes behind the torso, beneath the mouth (beard) and above all of the face."""
    back, front = _STYLES[look.hair_style](look)
    return back, _beard(look), [*front, *_glasses(look), *_earrings(look)]


def _tones(look: Look) -> tuple[Colour, Colour, Colour]:
    return look.hair, mix(look.hair, (16, 10, 24), 0.35), mix(look.hair, (255, 226, 190), 0.2)


def _cap(look: Look, lift: float, side: float, down: float, hairline: Points) -> np.ndarray:
    """Hair from ear to ear over the top; `hairline` runs right to left along the forehead."""
    a = look.face_width
    top = -0.168 - lift
    outer = [
        (-a - side * 0.5, down),
        (-a - side, -0.03),
        (-a * 0.93 - side, -0.09),
        (-a * 0.62 - side * 0.4, top * 0.88),
        (-0.02, top),
        (a * 0.5 + side * 0.3, top * 0.93),
        (a * 0.92 + side, -0.095),
        (a + side, -0.03),
        (a + side * 0.5, down),
    ]
    return smooth_curve([*outer, *hairline], 5)


def _short(look: Look) -> tuple[list[Shape], list[Shape]]:
    base, dark, light = _tones(look)
    a = look.face_width
    hairline = [
        (a - 0.010, 0.0),
        (a - 0.018, -0.055),
        (a - 0.045, -0.086),
        (0.02, -0.094),
        (-0.045, -0.118),
        (-a + 0.035, -0.092),
        (-a + 0.018, -0.055),
        (-a + 0.010, 0.0),
    ]
    cap = _cap(look, 0.034, 0.013, 0.012, hairline)
    quiff = smooth_curve(
        [(-0.07, -0.118), (-0.085, -0.165), (-0.03, -0.212), (0.05, -0.205), (0.1, -0.165),
         (0.112, -0.11), (0.07, -0.1), (0.01, -0.098)], 6)  # fmt: skip
    shine = smooth_curve(
        [(-0.05, -0.17), (-0.01, -0.194), (0.05, -0.186), (0.075, -0.165), (0.03, -0.172),
         (-0.02, -0.168)], 5)  # fmt: skip
    return [], [
        shape(cap, dark, 0.35),
        shape(quiff, base, 0.6),
        shape(shine, light, 0.7, alpha=0.6),
    ]


def _crop(look: Look) -> tuple[list[Shape], list[Shape]]:
    base, dark, light = _tones(look)
    a = look.face_width
    hairline = [
        (a - 0.006, 0.0),
        (a - 0.012, -0.06),
        (a - 0.03, -0.1),
        (0.04, -0.112),
        (-0.04, -0.112),
        (-a + 0.03, -0.1),
        (-a + 0.012, -0.06),
        (-a + 0.006, 0.0),
    ]
    cap = _cap(look, 0.018, 0.006, 0.004, hairline)
    fade = _cap(look, 0.006, 0.003, 0.012, hairline)
    shine = smooth_curve([(-0.06, -0.155), (-0.01, -0.176), (0.05, -0.168), (0.0, -0.15)], 5)
    return [], [
        shape(fade, mix(look.skin, dark, 0.6), 0.3),
        shape(cap, base, 0.4),
        shape(shine, light, 0.5, alpha=0.5),
    ]


def _parted(look: Look, lift: float, side: float) -> list[Shape]:
    """Two wings of hair from a parting down to the temples."""
    base, dark, light = _tones(look)
    a = look.face_width
    left = smooth_curve(
        [(-0.03, -0.168 - lift), (-a * 0.72, -0.15 - lift * 0.5), (-a - side, -0.07),
         (-a - side, 0.02), (-a + 0.002, 0.05), (-a + 0.016, -0.02), (-a + 0.042, -0.075),
         (-0.05, -0.115)], 6)  # fmt: skip
    right = smooth_curve(
        [(-0.06, -0.162 - lift), (0.03, -0.172 - lift), (a * 0.75, -0.14 - lift * 0.5),
         (a + side, -0.065), (a + side, 0.02), (a - 0.002, 0.05), (a - 0.014, -0.015),
         (a - 0.04, -0.066), (0.03, -0.104), (-0.045, -0.13)], 6)  # fmt: skip
    shine = smooth_curve(
        [(-0.02, -0.158), (0.04, -0.165), (0.085, -0.13), (0.1, -0.085), (0.06, -0.118),
         (0.02, -0.138)], 5)  # fmt: skip
    return [
        shape(left, mix(base, dark, 0.35), 0.45),
        shape(right, base, 0.5),
        shape(shine, light, 0.6, alpha=0.55),
    ]


def _long(look: Look) -> tuple[list[Shape], list[Shape]]:
    _, dark, _ = _tones(look)
    a = look.face_width
    back = symmetric(
        [(0.0, -0.205), (a * 0.8, -0.165), (a + 0.03, -0.06), (a + 0.042, 0.08),
         (a + 0.05, 0.2), (a + 0.035, 0.315), (0.07, 0.33)])  # fmt: skip
    return [shape(back, dark, -0.25)], _parted(look, 0.036, 0.022)


def _waves(look: Look) -> tuple[list[Shape], list[Shape]]:
    base, dark, _ = _tones(look)
    a = look.face_width
    back = symmetric(
        [(0.0, -0.208), (a * 0.82, -0.17), (a + 0.034, -0.06), (a + 0.026, 0.02),
         (a + 0.056, 0.09), (a + 0.04, 0.155), (a + 0.062, 0.225), (a + 0.03, 0.285),
         (0.085, 0.28)])  # fmt: skip
    locks = []
    for side in (-1.0, 1.0):
        points = smooth_curve(
            [(side * (a - 0.004), -0.03), (side * (a + 0.026), 0.02), (side * (a + 0.04), 0.09),
             (side * (a + 0.022), 0.15), (side * (a + 0.03), 0.21), (side * (a - 0.014), 0.19),
             (side * (a - 0.004), 0.12), (side * (a + 0.006), 0.06)], 5)  # fmt: skip
        locks.append(shape(points, mix(base, dark, 0.2 if side > 0 else 0.0), 0.1))
    return [shape(back, dark, -0.25)], [*locks, *_parted(look, 0.04, 0.024)]


def _bob(look: Look) -> tuple[list[Shape], list[Shape]]:
    base, dark, light = _tones(look)
    a = look.face_width
    back = symmetric(
        [(0.0, -0.205), (a * 0.82, -0.165), (a + 0.036, -0.05), (a + 0.046, 0.07),
         (a + 0.03, 0.15), (a - 0.03, 0.165)])  # fmt: skip
    fringe = smooth_curve(
        [(-a - 0.02, 0.03), (-a - 0.026, -0.07), (-a * 0.7, -0.168), (0.0, -0.204),
         (a * 0.7, -0.168), (a + 0.026, -0.07), (a + 0.02, 0.03), (a - 0.008, 0.06),
         (a - 0.018, -0.02), (a - 0.03, -0.062), (0.04, -0.07), (0.0, -0.066), (-0.05, -0.072),
         (-a + 0.03, -0.062), (-a + 0.018, -0.02), (-a + 0.008, 0.06)], 5)  # fmt: skip
    shine = smooth_curve(
        [(-0.08, -0.12), (-0.03, -0.145), (0.04, -0.145), (0.085, -0.12), (0.04, -0.125),
         (-0.03, -0.126)], 5)  # fmt: skip
    return [shape(back, dark, -0.25)], [
        shape(fringe, base, 0.5),
        shape(shine, light, 0.6, alpha=0.5),
    ]


def _bun(look: Look) -> tuple[list[Shape], list[Shape]]:
    base, dark, light = _tones(look)
    bun = ellipse(0.0, -0.222, 0.058, 0.05)
    swirl = smooth_curve([(-0.03, -0.235), (0.0, -0.255), (0.035, -0.236), (0.0, -0.242)], 5)
    tie = ellipse(0.0, -0.187, 0.036, 0.011)
    back = [
        shape(bun, base, -0.5),
        shape(swirl, light, -0.5, alpha=0.6),
        shape(tie, look.accent, -0.4),
    ]
    return back, _swept(look, dark)


def _swept(look: Look, dark: Colour) -> list[Shape]:
    base, _, light = _tones(look)
    a = look.face_width
    hairline = [
        (a - 0.004, 0.004),
        (a - 0.014, -0.05),
        (a - 0.04, -0.088),
        (0.03, -0.112),
        (-0.03, -0.112),
        (-a + 0.04, -0.088),
        (-a + 0.014, -0.05),
        (-a + 0.004, 0.004),
    ]
    cap = _cap(look, 0.022, 0.011, 0.02, hairline)
    strands = []
    for x in (-0.07, -0.025, 0.03):
        line = smooth_curve(
            [(x, -0.12), (x * 0.75, -0.155), (x * 0.4, -0.182), (x * 0.7 + 0.006, -0.155),
             (x + 0.008, -0.122)], 4)  # fmt: skip
        strands.append(shape(line, light, 0.5, alpha=0.4))
    return [shape(cap, base, 0.4), *strands]


def _ponytail(look: Look) -> tuple[list[Shape], list[Shape]]:
    base, dark, _ = _tones(look)
    a = look.face_width
    tail = smooth_curve(
        [(0.02, -0.19), (0.1, -0.205), (a + 0.045, -0.13), (a + 0.066, -0.01), (a + 0.05, 0.12),
         (a + 0.055, 0.235), (a + 0.005, 0.17), (a + 0.012, 0.04), (a - 0.01, -0.1)])  # fmt: skip
    return [shape(tail, dark, -0.5)], _swept(look, dark)


def _curly(look: Look) -> tuple[list[Shape], list[Shape]]:
    base, dark, light = _tones(look)
    a = look.face_width
    back, front = [], []
    for i, angle in enumerate(np.linspace(np.pi * 0.97, np.pi * 2.03, 13)):
        x = (a + 0.026) * np.cos(angle)
        y = -0.052 + 0.145 * np.sin(angle)
        radius = 0.05 + 0.007 * (i % 3)
        back.append(
            shape(ellipse(x, y, radius, radius), dark if i % 2 else mix(base, dark, 0.5), 0.0)
        )
    for i, angle in enumerate(np.linspace(np.pi * 1.06, np.pi * 1.94, 9)):
        x = (a - 0.006) * np.cos(angle)
        y = -0.05 + 0.108 * np.sin(angle)
        radius = 0.036 + 0.005 * (i % 2)
        front.append(shape(ellipse(x, y, radius, radius), base, 0.4))
        spot = ellipse(x - 0.01, y - 0.012, 0.011, 0.008, -0.5)
        front.append(shape(spot, light, 0.45, alpha=0.45))
    return back, front


def _bald(look: Look) -> tuple[list[Shape], list[Shape]]:
    shine = ellipse(-0.045, -0.128, 0.03, 0.016, -0.5)
    return [], [shape(shine, look.light, 0.5, alpha=0.75)]


def _headscarf(look: Look) -> tuple[list[Shape], list[Shape]]:
    cloth = look.accent
    dark, light = mix(cloth, (40, 20, 60), 0.28), mix(cloth, (255, 255, 255), 0.22)
    a = look.face_width
    back = symmetric(
        [(0.0, -0.208), (a * 0.8, -0.172), (a + 0.026, -0.06), (a + 0.032, 0.06),
         (a + 0.03, 0.16), (a + 0.034, 0.24), (0.07, 0.27)])  # fmt: skip
    outer = [
        (0.0, -0.206),
        (a * 0.8, -0.168),
        (a + 0.025, -0.06),
        (a + 0.030, 0.05),
        (a + 0.026, 0.15),
        (a + 0.03, 0.225),
        (0.09, 0.268),
        (0.0, 0.287),
    ]
    inner = [
        (0.0, 0.192),
        (0.048, 0.178),
        (a - 0.036, 0.122),
        (a - 0.018, 0.03),
        (a - 0.019, -0.04),
        (a - 0.046, -0.090),
        (0.0, -0.110),
    ]
    half = np.concatenate([smooth_open(outer), smooth_open(inner)])
    ring = np.concatenate([half, (half * np.array([-1.0, 1.0]))[::-1]])
    fold = smooth_curve(
        [(-a * 0.8, -0.12), (-0.05, -0.17), (0.03, -0.182), (-0.03, -0.15), (-a * 0.85, -0.08)], 5
    )
    wrap = smooth_curve(
        [(-0.045, 0.197), (0.03, 0.21), (a - 0.01, 0.14), (a + 0.022, 0.04), (a + 0.024, 0.12),
         (a + 0.004, 0.2), (0.06, 0.244), (-0.01, 0.236)], 5)  # fmt: skip
    second = smooth_curve(
        [(-a + 0.03, 0.17), (-0.06, 0.222), (0.0, 0.25), (-0.06, 0.243), (-a + 0.005, 0.205)], 5
    )
    return [shape(back, dark, -0.2)], [
        shape(ring, cloth, 0.3, jaw=0.85),
        shape(wrap, dark, 0.2, alpha=0.75, jaw=0.85),
        shape(second, dark, 0.2, alpha=0.6, jaw=0.85),
        shape(fold, light, 0.4, alpha=0.6),
    ]


def smooth_open(points: Points, steps: int = 5) -> np.ndarray:
    """An open smooth curve through `points`, ends included."""
    first, last = points[0], points[-1]
    padded = [first, *points, last]
    p = np.asarray(padded, dtype=float)
    a, b, c, d = (q[:, None, :] for q in (p[:-3], p[1:-2], p[2:-1], p[3:]))
    u = (np.arange(steps) / steps)[None, :, None]
    curve = 0.5 * (
        2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3
    )
    return np.concatenate([curve.reshape(-1, 2), p[-1:]])


def _beard(look: Look) -> list[Shape]:
    if look.beard == "none":
        return []
    base, dark, _ = _tones(look)
    if look.beard == "moustache":
        points = symmetric(
            [(0.0, 0.072), (0.03, 0.074), (0.052, 0.094), (0.03, 0.089), (0.0, 0.085)]
        )
        return [shape(points, base, 1.0)]
    outline = face_outline(look, 0.003)
    low = outline[outline[:, 1] > 0.035]
    order = np.argsort(np.arctan2(low[:, 1], low[:, 0]))
    low = low[order]
    right, left = low[0], low[-1]
    top = smooth_open(
        [(left[0], left[1]), (left[0] + 0.022, 0.07), (-0.075, 0.082), (-0.045, 0.073),
         (0.0, 0.071), (0.045, 0.073), (0.075, 0.082), (right[0] - 0.022, 0.07),
         (right[0], right[1])])  # fmt: skip
    points = np.concatenate([low, top])
    if look.beard == "stubble":
        return [shape(points, mix(look.hair, (60, 50, 60), 0.3), 0.4, alpha=0.28, jaw=1.0)]
    return [shape(points, base, 0.4, jaw=1.05), *_beard_shade(look, dark)]


def _beard_shade(look: Look, dark: Colour) -> list[Shape]:
    a = look.face_width
    points = smooth_curve(
        [(0.0, 0.176), (0.05, 0.158), (a - 0.03, 0.1), (a - 0.012, 0.06), (a - 0.02, 0.11),
         (0.055, 0.172)], 5)  # fmt: skip
    return [shape(points, dark, 0.3, alpha=0.7, jaw=1.0)]


def _glasses(look: Look) -> list[Shape]:
    if look.glasses == "none":
        return []
    frame_colour = mix(look.accent, (30, 24, 34), 0.72)
    power = 2.0 if look.glasses == "round" else 3.6
    angle = np.linspace(0, 2 * np.pi, 33)
    c, s = np.cos(angle), np.sin(angle)
    unit = np.stack(
        [np.sign(c) * np.abs(c) ** (2 / power), np.sign(s) * np.abs(s) ** (2 / power)], axis=1
    )
    out = []
    for side in (-1.0, 1.0):
        centre = np.array([side * (look.eye_gap + 0.001), EYE_Y + 0.003])
        outer = centre + unit * np.array([0.0405, 0.0365])
        inner = centre + unit * np.array([0.0365, 0.0325])
        ring = np.concatenate([outer, inner[::-1]])
        glint = np.array([(-0.022, 0.016), (0.006, -0.022), (0.014, -0.022), (-0.014, 0.016)])
        out.append(shape(inner, (226, 240, 250), 1.3, alpha=0.10))
        out.append(shape(glint + centre, (255, 255, 255), 1.3, alpha=0.13))
        out.append(shape(ring, frame_colour, 1.3))
        covered = look.hair_style in ("long", "waves", "bob", "headscarf")
        reach = look.face_width - look.eye_gap - (0.018 if covered else 0.004)
        arm = np.array([(0.038, -0.009), (reach, -0.012), (reach, -0.007), (0.038, -0.004)])
        turn = np.array([1.3, 0.1, 0.1, 1.3])
        out.append(shape(arm * np.array([side, 1.0]) + centre, frame_colour, turn))
    gap = look.eye_gap - 0.038
    bridge = np.array(
        [(-gap, -0.001), (0.0, -0.006), (gap, -0.001), (gap, 0.003), (0, -0.002), (-gap, 0.003)]
    )
    out.append(shape(bridge + np.array([0.0, EYE_Y]), frame_colour, 1.35))
    return out


def _earrings(look: Look) -> list[Shape]:
    if not look.earrings:
        return []
    x = look.face_width + 0.004
    return [shape(ellipse(s * x, 0.064, 0.009, 0.011), look.accent, -0.2) for s in (-1.0, 1.0)]


_STYLES = {
    "short": _short,
    "long": _long,
    "bun": _bun,
    "bald": _bald,
    "headscarf": _headscarf,
    "curly": _curly,
    "bob": _bob,
    "crop": _crop,
    "waves": _waves,
    "ponytail": _ponytail,
}
