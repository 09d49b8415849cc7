"""Sleeves and hands of the synthetic presenter: their geometry in every frame, and their drawing.

A hand is a palm and five fingers of two bones each, turned about its own axis by the motion's
`turn` (palm, edge, back) and drawn as rounded strokes from the little finger to the thumb.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from jaxgesture.data.presenter.canvas import Canvas, Colour, mix, shaded
from jaxgesture.data.presenter.looks import Look
from jaxgesture.data.presenter.motion import HandMotion

SHORT_SLEEVES = ("dress", "tee")

# Thumb to little finger: base along and across the palm, length, angle spread out (degrees).
_SCALE = 1.2
_BASE_ALONG = _SCALE * np.array([0.020, 0.058, 0.061, 0.059, 0.054])
_BASE_ACROSS = _SCALE * np.array([0.021, 0.0225, 0.0075, -0.0075, -0.0215])
_LENGTH = _SCALE * np.array([0.046, 0.050, 0.056, 0.051, 0.041])
_REST_ANGLE = np.radians([34.0, 2.0, 0.0, -2.0, -5.0])
_SPREAD_ANGLE = np.radians([22.0, 13.0, 3.0, -8.0, -19.0])
_RADIUS = _SCALE * np.array([0.0112, 0.0094, 0.0097, 0.0094, 0.0086])


@dataclasses.dataclass(frozen=True)
class HandShape:
    """Vertices of a hand in every frame.

    Attributes:
        fingers: (t, 5, 3, 2) base, knuckle and tip of thumb to little finger.
        palm: (t, n, 2) outline of the palm.
        wrist: (t, 2).
    """

    fingers: Float[np.ndarray, "t 5 3 2"]
    palm: Float[np.ndarray, "t n 2"]
    wrist: Float[np.ndarray, "t 2"]

    def boxes(self) -> Float[np.ndarray, "t 4"]:
        """x0, y0, x1, y1 around the hand, in fractions of the frame."""
        radius = _RADIUS[None, :, None, None]
        fingers = self.fingers.reshape(len(self.palm), -1, 2)
        spread = np.broadcast_to(radius, (*self.fingers.shape[:3], 1)).reshape(
            *fingers.shape[:2], 1
        )
        low = np.minimum((fingers - spread).min(axis=1), self.palm.min(axis=1))
        high = np.maximum((fingers + spread).max(axis=1), self.palm.max(axis=1))
        return np.concatenate([low, high], axis=1)


_PALM = _SCALE * np.array(
    [
        (-0.006, 0.0175), (0.008, 0.0225), (0.024, 0.0300), (0.044, 0.0315), (0.060, 0.0310),
        (0.068, 0.0180), (0.070, 0.0000), (0.068, -0.0150), (0.061, -0.0290), (0.045, -0.0300),
        (0.022, -0.0260), (0.006, -0.0205), (-0.006, -0.0175),
    ]
)  # fmt: skip


def hand_shape(motion: HandMotion) -> HandShape:
    """Places palm and fingers in every frame."""
    # A hand spends little of its turn edge on, where it reads as a blade.
    turn = np.tanh(3.0 * motion.turn)
    # Edge on, the palm keeps the thickness of flesh; it is nearly symmetric, so its flip is unseen.
    palm_scale = np.where(turn < 0, -1.0, 1.0) * np.maximum(np.abs(turn), 0.5)
    angle = _REST_ANGLE + _SPREAD_ANGLE * motion.spread[:, None]
    curl = motion.curl
    first = _LENGTH * 0.55 * (1.0 - 0.35 * curl)
    second = _LENGTH * 0.45 * (1.0 - 1.25 * curl)
    bend = np.zeros(5)
    bend[0] = -0.35
    lift = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    tip_angle = angle + bend * (0.4 + curl)
    tip_lift = np.stack([np.cos(tip_angle), np.sin(tip_angle)], axis=-1)
    base = np.broadcast_to(np.stack([_BASE_ALONG, _BASE_ACROSS], axis=-1), (*angle.shape, 2))
    knuckle = base + first[..., None] * lift
    tip = knuckle + second[..., None] * tip_lift
    local = np.stack([base, knuckle, tip], axis=2)

    def place(points: np.ndarray, scale: np.ndarray) -> np.ndarray:
        along = points[..., 0, None]
        across = points[..., 1, None]
        flat = (len(motion.wrist),) + (1,) * (points.ndim - 2) + (2,)
        return (
            motion.wrist.reshape(flat)
            + along * motion.direction.reshape(flat)
            + across * (scale[:, None] * motion.thumb_side).reshape(flat)
        )

    palm = np.broadcast_to(_PALM, (len(turn), *_PALM.shape))
    return HandShape(fingers=place(local, turn), palm=place(palm, palm_scale), wrist=motion.wrist)


def draw_hand(canvas: Canvas, shape: HandShape, motion: HandMotion, look: Look, frame: int) -> None:
    """Draws one hand over what is there."""
    facing = float(np.clip(0.5 + 0.5 * motion.turn[frame], 0.0, 1.0))
    colour = mix(look.skin, look.palm, facing)
    edge = mix(colour, look.shade, 0.75)
    fingers = shape.fingers[frame]

    def finger(i: int) -> None:
        base, knuckle, tip = fingers[i]
        radius = _RADIUS[i]
        rim = 0.0022
        canvas.capsule(base, knuckle, radius + rim, radius * 0.97 + rim, edge)
        canvas.capsule(knuckle, tip, radius * 0.97 + rim, radius * 0.86 + rim, edge)
        canvas.capsule(base, knuckle, radius, radius * 0.97, colour)
        canvas.capsule(knuckle, tip, radius * 0.97, radius * 0.86, colour)

    if motion.turn[frame] < 0.0:
        finger(0)
    for i in (4, 3, 2, 1):
        finger(i)
    canvas.polygon(shape.palm[frame], colour)
    if motion.turn[frame] >= 0.0:
        finger(0)


def draw_sleeve(
    canvas: Canvas, motion: HandMotion, look: Look, frame: int, shoulder_colour: Colour
) -> None:
    """Draws upper arm and forearm with the outfit's sleeve.

    Args:
        canvas: what to draw on.
        motion: of the arm.
        look: of the speaker.
        frame: which frame.
        shoulder_colour: of the torso at the shoulder, into which the sleeve fades.
    """
    shoulder, elbow, wrist = motion.shoulder[frame], motion.elbow[frame], motion.wrist[frame]
    short = look.outfit in SHORT_SLEEVES
    cloth = mix(look.cloth, (255, 250, 235), 0.05)
    dark = shaded(look.cloth, 0.42)
    # Light comes from the upper left: the lit core of each limb is shifted that way.
    lit = np.array([-0.005, -0.005])
    if short:
        skin_dark = mix(look.skin, look.shade, 0.8)
        canvas.capsule(shoulder, elbow, 0.036, 0.032, skin_dark)
        canvas.capsule(elbow, wrist, 0.032, 0.024, skin_dark)
        canvas.capsule(shoulder + lit, elbow + 0.7 * lit, 0.030, 0.027, look.skin)
        canvas.capsule(elbow + 0.7 * lit, wrist, 0.027, 0.0235, look.skin)
        end = shoulder + 0.6 * (elbow - shoulder)
        hem = shoulder + 0.63 * (elbow - shoulder)
        canvas.capsule(end, hem, 0.046, 0.045, dark)
        _faded(canvas, shoulder, end, (0.045, 0.046), lit, shoulder_colour, cloth, dark)
        return
    cuff = wrist + 0.13 * (elbow - wrist)
    canvas.capsule(cuff, wrist, 0.0235, 0.0225, mix(look.skin, look.shade, 0.7))
    canvas.capsule(elbow, cuff, 0.042, 0.034, dark)
    canvas.capsule(cuff + 0.05 * (cuff - elbow), cuff, 0.033, 0.034, shaded(dark, 0.25))
    _faded(canvas, shoulder, elbow, (0.045, 0.042), lit, shoulder_colour, cloth, dark)
    canvas.capsule(elbow + lit, cuff + 0.6 * lit, 0.036, 0.029, cloth)


def _faded(
    canvas: Canvas,
    a: np.ndarray,
    b: np.ndarray,
    radii: tuple[float, float],
    lit: np.ndarray,
    first: Colour,
    cloth: Colour,
    dark: Colour,
) -> None:
    """A limb whose shading grows out of the colour `first` at its upper end."""
    steps = 8
    points = [a + (b - a) * i / steps for i in range(steps + 1)]
    radius = [radii[0] + (radii[1] - radii[0]) * i / steps for i in range(steps + 1)]
    share = [min(1.0, (i + 0.5) / 5) for i in range(steps)]
    for i in range(steps):
        canvas.capsule(
            points[i], points[i + 1], radius[i], radius[i + 1], mix(first, dark, share[i])
        )
    for i in range(steps):
        s = min(1.0, share[i] + 0.1)
        inner = [radius[j] - 0.006 * min(1.0, j / 4) for j in (i, i + 1)]
        start, stop = points[i] + s * lit, points[i + 1] + s * lit
        canvas.capsule(start, stop, inner[0], inner[1], mix(first, cloth, share[i]))
