"""The head of the synthetic presenter as flat shapes that move by blending.

Every vertex is `base + sum_k w_k(t) shape_k`: the channels `w` are the head's yaw and pitch (things
nearer to the camera shift further), the jaw, the brows, the lids and the gaze. One matrix product a
frame moves the whole head, which then tilts about the neck.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from jaxgesture.data.presenter.canvas import Canvas, Colour, ellipse, mix
from jaxgesture.data.presenter.looks import Look
from jaxgesture.data.presenter.motion import Motion
from jaxgesture.data.presenter.mouth import (
    CENTRE_Y,
    INTERIOR,
    JAW_DROP,
    TEETH,
    TONGUE,
    lip_curves,
)

CHANNELS = ("yaw", "pitch", "jaw", "brow", "blink", "gaze_x", "gaze_y")
CENTRE = np.array([0.5, 0.292])
"""Middle of the head at rest."""
PIVOT = np.array([0.0, 0.20])
"""The neck, about which the head tilts, relative to the head's middle."""
TOP, CHIN = -0.168, 0.178
EYE_Y = 0.004


@dataclasses.dataclass(frozen=True)
class Shape:
    """One filled polygon of the head: rest vertices, colour and its movement by channel."""

    points: np.ndarray
    colour: Colour
    alpha: float
    blends: dict[str, np.ndarray]


def shape(
    points: np.ndarray,
    colour: Colour,
    depth: float | np.ndarray = 0.0,
    *,
    alpha: float = 1.0,
    jaw: float = 0.0,
    blends: dict[str, np.ndarray] | None = None,
) -> Shape:
    """A polygon at a depth (1 for the features, 0 for the skull's axis, below 0 behind it).

    Args:
        points: (n, 2) vertices relative to the middle of the head.
        colour: fill.
        depth: how far the polygon, or each vertex, follows the head's turn.
        alpha: opacity.
        jaw: share of the jaw's drop that its lower part follows.
        blends: (n, 2) or (2,) movement by other channels.
    """
    ones = np.ones(len(points))
    moves = {
        "yaw": np.stack([depth * ones, 0 * ones], axis=1),
        "pitch": np.stack([0 * ones, depth * ones], axis=1),
    }
    if jaw:
        share = np.clip((points[:, 1] - 0.02) / (CHIN - 0.02), 0.0, 1.1)
        moves["jaw"] = np.stack([0 * ones, jaw * JAW_DROP * share**1.5], axis=1)
    for name, value in (blends or {}).items():
        moves[name] = np.broadcast_to(value, points.shape)
    return Shape(points, colour, alpha, moves)


def face_outline(look: Look, grow: float = 0.0, steps: int = 56) -> Float[np.ndarray, "n 2"]:
    """Skull, cheeks, jaw and chin as one closed curve."""
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    x = (look.face_width + grow) * np.sign(c) * np.abs(c) ** 0.86
    y = np.where(s > 0, (CHIN + grow) * s, (grow - TOP) * np.sign(s) * np.abs(s) ** 0.92)
    narrow = 1.0 - look.jaw * np.clip(s, 0, 1) ** 1.6
    return np.stack([x * narrow, y], axis=1)


@dataclasses.dataclass(frozen=True)
class Head:
    """All shapes of a head compiled into one array of vertices.

    Attributes:
        base: (n, 2).
        blends: (k, n, 2), one per name of CHANNELS.
        pieces: start, stop, colour and opacity of each polygon, in three groups: behind the torso,
            beneath the mouth, above the mouth.
        face: start and stop of the face's outline.
    """

    base: Float[np.ndarray, "n 2"]
    blends: Float[np.ndarray, "k n 2"]
    pieces: tuple[list[tuple[int, int, Colour, float]], ...]
    face: tuple[int, int]

    def vertices(self, channels: Float[np.ndarray, "*t k"]) -> Float[np.ndarray, "*t n 2"]:
        """Vertices relative to the middle of the head, before its tilt."""
        return self.base + np.tensordot(channels, self.blends, axes=1)


def compile_head(groups: tuple[list[Shape], ...], face: Shape) -> Head:
    """Packs shapes into one array."""
    base, moves, pieces, start, span = [], [], [], 0, (0, 0)
    for group in groups:
        rows = []
        for item in group:
            stop = start + len(item.points)
            rows.append((start, stop, item.colour, item.alpha))
            if item is face:
                span = (start, stop)
            base.append(item.points)
            zero = np.zeros_like(item.points)
            moves.append(np.stack([item.blends.get(name, zero) for name in CHANNELS]))
            start = stop
        pieces.append(rows)
    return Head(np.concatenate(base), np.concatenate(moves, axis=1), tuple(pieces), span)


def face_shapes(look: Look) -> tuple[list[Shape], list[Shape], Shape]:
    """Shapes beneath and above the mouth, and the face's outline among the first."""
    outline = face_outline(look)
    skin, shade = look.skin, look.shade
    below: list[Shape] = []
    for side in (-1.0, 1.0):
        x = side * look.face_width
        below.append(shape(ellipse(x, 0.018, 0.022, 0.034, side * 0.15), skin, -0.3))
        inner = ellipse(x + side * 0.003, 0.019, 0.011, 0.02, side * 0.15)
        below.append(shape(inner, shade, -0.3))
    face = shape(outline, shade, 0.25, jaw=1.0)
    below.append(face)
    # The lit side of the face: its outline moved towards the light.
    lit = outline * np.array([0.955, 0.968]) + np.array([-0.0052, -0.004])
    below.append(shape(lit, skin, 0.35, jaw=0.97))
    below.append(shape(ellipse(-0.03, -0.085, 0.062, 0.042, -0.2), look.light, 0.5, alpha=0.35))
    for side in (-1.0, 1.0):
        below.append(
            shape(
                ellipse(side * 0.078, 0.066, 0.027, 0.019), look.blush, 0.9, alpha=look.blush_alpha
            )
        )
        below.append(
            shape(
                ellipse(side * 0.078, 0.066, 0.017, 0.012), look.blush, 0.9, alpha=look.blush_alpha
            )
        )
    above = [*_nose(look)]
    for side in (-1.0, 1.0):
        above += _eye(look, side)
    return below, above, face


def _nose(look: Look) -> list[Shape]:
    n = look.nose
    bridge = np.array(
        [(0.004, 0.012), (0.013 * n, 0.046), (0.017 * n, 0.055), (0.010, 0.062), (0.0, 0.0635),
         (0.006, 0.052), (0.004, 0.03)]
    )  # fmt: skip
    tip = ellipse(-0.001, 0.0535, 0.0125 * n, 0.009)
    return [
        shape(bridge, look.shade, 1.25),
        shape(tip, look.skin, 1.35),
        shape(ellipse(-0.004, 0.0505, 0.005, 0.0036), look.light, 1.4, alpha=0.8),
        shape(
            ellipse(-0.0075 * n, 0.061, 0.0035, 0.0018), mix(look.shade, (60, 20, 30), 0.35), 1.3
        ),
        shape(ellipse(0.0075 * n, 0.061, 0.0035, 0.0018), mix(look.shade, (60, 20, 30), 0.35), 1.3),
    ]


def _eye(look: Look, side: float) -> list[Shape]:
    x, y = side * look.eye_gap, EYE_Y
    rx, ry = 0.0255 * look.eye_size, 0.0185 * look.eye_size
    lid = mix(look.skin, look.shade, 0.55)
    lash = mix((30, 20, 26), look.hair, 0.25)
    t = np.linspace(0, 1, 11)
    across = x + rx * 1.08 * (2 * t - 1)
    arch = np.sqrt(np.maximum(1 - (2 * t - 1) ** 2, 0))
    # At rest the lid covers the top of the iris: a wholly round eye stares.
    upper = y - ry * (0.78 * arch + 0.06 * arch**3)
    lower = y + ry * 0.92 * arch
    fold = y - (ry + 0.008) * arch - 0.001
    # The lid hangs from its fold; closing, its edge goes from the upper to the lower rim.
    lid_points = np.concatenate([np.stack([across, fold], 1), np.stack([across, upper], 1)[::-1]])
    closing = np.zeros_like(lid_points)
    closing[11:, 1] = (lower - upper)[::-1]
    thick = 0.0042 + 0.0012 * look.lashes
    flick = 0.007 * look.lashes
    outer = t if side > 0 else 1 - t
    lash_top = upper - thick * (0.35 + 0.65 * arch) - flick * outer**6 * 0.4
    lash_points = np.concatenate(
        [
            np.stack([across + side * flick * outer**6, lash_top], 1),
            np.stack([across, upper + 0.0006], 1)[::-1],
        ]
    )
    lash_closing = np.zeros_like(lash_points)
    lash_closing[:11, 1] = lower - upper + 0.0012
    lash_closing[11:, 1] = (lower - upper + 0.0012)[::-1]
    gaze = {"gaze_x": np.array([1.0, 0.0]), "gaze_y": np.array([0.0, 1.0])}
    iris_r = 0.0158 * look.eye_size
    deep = mix(look.iris, (16, 12, 20), 0.45)
    brow_y = y - 0.041
    brow_x = x + side * 0.002
    half = 0.031
    u = np.linspace(-1, 1, 9) * side
    arc = brow_y - 0.0080 * (1 - (u + 0.05) ** 2) + 0.0018 * u
    weight = look.brow_thickness * (0.66 - 0.34 * u)
    xs = brow_x + half * np.linspace(-1, 1, 9)
    brow = np.concatenate([np.stack([xs, arc], 1), np.stack([xs, arc + weight], 1)[::-1]])
    brow_colour = mix(look.hair, (40, 26, 26), 0.35)
    if look.hair_style in ("bald", "headscarf"):
        brow_colour = mix(look.hair, (30, 20, 24), 0.5)
    return [
        shape(ellipse(x, y, rx * 1.06, ry), (252, 250, 246), 1.0),
        shape(ellipse(x, y + 0.001, iris_r, iris_r), deep, 1.05, blends=gaze),
        shape(ellipse(x, y + 0.0022, iris_r * 0.8, iris_r * 0.78), look.iris, 1.05, blends=gaze),
        shape(ellipse(x, y + 0.001, iris_r * 0.5, iris_r * 0.5), (18, 14, 20), 1.05, blends=gaze),
        shape(ellipse(x - 0.0045, y - 0.0045, 0.0042, 0.0042), (255, 255, 255), 1.05, blends=gaze),
        shape(lid_points, lid, 1.0, blends={"blink": closing}),
        shape(lash_points, lash, 1.0, blends={"blink": lash_closing}),
        shape(brow, brow_colour, 1.0, blends={"brow": np.array([0.0, -1.0])}),
    ]


def channels_of(motion: Motion) -> Float[np.ndarray, "t k"]:
    """The motion's channels in the order of CHANNELS."""
    return np.stack(
        [motion.yaw, motion.pitch, motion.mouth, motion.brow, motion.blink,
         motion.gaze[:, 0], motion.gaze[:, 1]],
        axis=1,
    )  # fmt: skip


def to_frame(points: np.ndarray, motion: Motion, frame: int | slice) -> np.ndarray:
    """Points relative to the head's middle -> fractions of the frame (tilt about the neck)."""
    roll = np.asarray(motion.roll[frame])[..., None]
    relative = points - PIVOT
    x, y = relative[..., 0], relative[..., 1]
    c, s = np.cos(roll), np.sin(roll)
    turned = np.stack([c * x - s * y, s * x + c * y], axis=-1)
    return turned + CENTRE + PIVOT + np.asarray(motion.head[frame])[..., None, :]


def mouth_points(motion: Motion, frame: int | slice) -> dict[str, np.ndarray]:
    """Curves of the mouth in fractions of the frame."""
    curves = lip_curves(motion.mouth[frame], motion.mouth_width[frame])
    shift = np.stack([np.asarray(motion.yaw[frame]), np.asarray(motion.pitch[frame])], axis=-1)
    offset = np.array([0.0, CENTRE_Y]) + 1.05 * shift[..., None, :]
    return {name: to_frame(curve + offset, motion, frame) for name, curve in curves.items()}


def draw_mouth(canvas: Canvas, motion: Motion, look: Look, frame: int) -> None:
    """Lips, interior, teeth and tongue."""
    curves = mouth_points(motion, frame)

    def between(a: str, b: str, colour: Colour) -> None:
        canvas.polygon(np.concatenate([curves[a], curves[b][::-1]]), colour)

    between("outer_top", "outer_bottom", look.lip)
    if motion.mouth[frame] < 0.04:
        line = curves["inner_top"]
        closed = np.concatenate([line - (0, 0.0012), (line + (0, 0.0016))[::-1]])
        canvas.polygon(closed, mix(look.lip, (70, 24, 30), 0.6))
        return
    between("inner_top", "inner_bottom", INTERIOR)
    between("tongue", "inner_bottom", TONGUE)
    between("inner_top", "teeth", TEETH)


def draw_pieces(
    canvas: Canvas, points: np.ndarray, pieces: list[tuple[int, int, Colour, float]]
) -> None:
    """Draws one group of a head's polygons from its placed vertices."""
    for start, stop, colour, alpha in pieces:
        canvas.polygon(points[start:stop], colour, alpha)
