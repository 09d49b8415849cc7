"""Draws a synthetic presenter: room, hair, neck, torso, head, sleeves and hands, back to front."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from jaxgesture.data.presenter.arms import HandShape, draw_hand, draw_sleeve, hand_shape
from jaxgesture.data.presenter.canvas import Canvas, Colour, capsule, cast_shadow, mix
from jaxgesture.data.presenter.hair import hair_shapes
from jaxgesture.data.presenter.head import (
    CHIN,
    EYE_Y,
    TOP,
    channels_of,
    compile_head,
    draw_mouth,
    draw_pieces,
    face_shapes,
    mouth_points,
    to_frame,
)
from jaxgesture.data.presenter.looks import Look
from jaxgesture.data.presenter.motion import SHOULDER, Motion
from jaxgesture.data.presenter.outfit import paint_torso
from jaxgesture.data.presenter.room import paint_room

JOINTS = (
    "head_top",
    "left_eye",
    "right_eye",
    "nose",
    "mouth",
    "chin",
    "neck",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "left_middle_tip",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "right_middle_tip",
)
"""Left and right are the speaker's; the camera sees the left hand on the right."""

_NECK = np.array([0.5, 0.515])
_SHADOW_STRENGTH = 0.55


class Figure:
    """Geometry of a performance in fractions of the frame, the same at every size."""

    def __init__(self, look: Look, motion: Motion) -> None:
        """Builds head and hands of `look`, moved by `motion`."""
        self.look, self.motion = look, motion
        back, beard, front = hair_shapes(look)
        below, above, face = face_shapes(look)
        self.head = compile_head((back, [*below, *beard], [*above, *front]), face)
        self.channels = channels_of(motion)
        self.hands: dict[str, HandShape] = {
            "left": hand_shape(motion.left),
            "right": hand_shape(motion.right),
        }

    def head_vertices(self, frame: int) -> Float[np.ndarray, "n 2"]:
        """All vertices of the head in one frame."""
        return to_frame(self.head.vertices(self.channels[frame]), self.motion, frame)

    def joints(self) -> Float[np.ndarray, "t j 2"]:
        """Joints in the order of JOINTS."""
        m, look = self.motion, self.look
        shift = np.stack([m.yaw, m.pitch], axis=1)

        def of_head(x: float, y: float, depth: float) -> np.ndarray:
            return to_frame((np.array([x, y]) + depth * shift)[:, None], m, slice(None))[:, 0]

        mouth = mouth_points(m, slice(None))
        middle = mouth["inner_top"].shape[1] // 2
        face = self._face()
        out = [
            of_head(0.0, TOP, 0.25),
            of_head(look.eye_gap, EYE_Y, 1.0),
            of_head(-look.eye_gap, EYE_Y, 1.0),
            of_head(0.0, 0.0535, 1.35),
            0.5 * (mouth["inner_top"][:, middle] + mouth["inner_bottom"][:, middle]),
            face[:, np.argmax(self.head.base[slice(*self.head.face), 1])],
            _NECK + m.torso,
        ]
        for name, arm in (("left", m.left), ("right", m.right)):
            out += [arm.shoulder, arm.elbow, arm.wrist, self.hands[name].fingers[:, 2, 2]]
        return np.stack(out, axis=1)

    def boxes(self) -> dict[str, Float[np.ndarray, "t 4"]]:
        """x0, y0, x1, y1 of left_hand, right_hand, face and lips."""
        mouth = mouth_points(self.motion, slice(None))
        lips = np.concatenate([mouth["outer_top"], mouth["outer_bottom"]], axis=1)
        return {
            "left_hand": self.hands["left"].boxes(),
            "right_hand": self.hands["right"].boxes(),
            "face": _bounds(self._face()),
            "lips": _bounds(lips),
        }

    def _face(self) -> np.ndarray:
        rows = slice(*self.head.face)
        moved = self.head.base[rows] + np.tensordot(
            self.channels, self.head.blends[:, rows], axes=1
        )
        return to_frame(moved, self.motion, slice(None))


def _bounds(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)


class Painter:
    """Draws the frames of a figure at one size; what stands still is painted once."""

    def __init__(self, figure: Figure, size: int) -> None:
        """Paints room and torso at `size` pixels."""
        self.figure, self.size = figure, size
        self.room = paint_room(size, figure.look)
        self.torso = paint_torso(size, figure.look)
        self._torso_mask = self.torso.getchannel("A")
        self._shadow_side = min(size, 192)
        self._shoulders = {"right": self._tone(-1.0), "left": self._tone(1.0)}

    def frame(self, index: int) -> UInt8[np.ndarray, "s s 3"]:
        """Draws one frame."""
        figure, look, motion = self.figure, self.figure.look, self.figure.motion
        canvas = Canvas(self.size, self.room)
        points = figure.head_vertices(index)
        back, below, above = figure.head.pieces
        draw_pieces(canvas, points, back)
        self._neck(canvas, index)
        x, y = np.rint(motion.torso[index] * canvas.side).astype(int).tolist()
        offset = (x, y)
        canvas.image.paste(self.torso, offset, self._torso_mask)
        draw_pieces(canvas, points, below)
        draw_mouth(canvas, motion, look, index)
        draw_pieces(canvas, points, above)
        self._arm_shadow(canvas, index, offset)
        for name, arm in (("right", motion.right), ("left", motion.left)):
            draw_sleeve(canvas, arm, look, index, self._shoulders[name])
        for name, arm in (("right", motion.right), ("left", motion.left)):
            draw_hand(canvas, figure.hands[name], arm, look, index)
        return canvas.pixels()

    def _tone(self, side: float) -> Colour:
        """Mean colour of the painted torso at a shoulder."""
        middle = np.array([0.5 + side * (SHOULDER[0] - 0.01), SHOULDER[1]])
        box = [int(v * self.torso.width) for v in (*(middle - 0.02), *(middle + 0.02))]
        patch = np.asarray(self.torso.crop((box[0], box[1], box[2], box[3])))[..., :3]
        red, green, blue = np.median(patch.reshape(-1, 3), axis=0).astype(int).tolist()
        return red, green, blue

    def _neck(self, canvas: Canvas, index: int) -> None:
        look, motion = self.figure.look, self.figure.motion
        top = to_frame(np.array([[0.0, 0.10]]), motion, index)[0]
        bottom = np.array([0.5, 0.60]) + motion.torso[index]
        base = _NECK + motion.torso[index]
        canvas.capsule(base, bottom, 0.056, 0.10, look.skin)
        canvas.capsule(top, base, 0.052, 0.052, look.skin)
        drop = CHIN + 0.036 * motion.mouth[index] - 0.105
        chin = to_frame(np.array([[0.004, 0.105]]), motion, index)[0]
        canvas.capsule(chin, chin + np.array([0.003, drop + 0.004]), 0.0515, 0.0515,
                       mix(look.shade, (60, 20, 50), 0.16))  # fmt: skip

    def _arm_shadow(self, canvas: Canvas, index: int, offset: tuple[int, int]) -> None:
        """Darkens the torso, softly, beneath arms and hands."""
        motion, side = self.figure.motion, self._shadow_side
        mask = Image.new("L", (side, side))
        draw = ImageDraw.Draw(mask)
        level = round(255 * _SHADOW_STRENGTH)
        shift = np.array([0.010, 0.016])
        for arm in (motion.left, motion.right):
            shoulder, elbow, wrist = arm.shoulder[index], arm.elbow[index], arm.wrist[index]
            tip = wrist + 0.08 * arm.direction[index]
            for a, b, ra, rb in (
                (0.6 * shoulder + 0.4 * elbow, elbow, 0.044, 0.042),
                (elbow, wrist, 0.042, 0.032),
                (wrist, tip, 0.034, 0.036),
            ):
                stroke = capsule(a + shift, b + shift, ra, rb)
                draw.polygon((stroke * side).reshape(-1).tolist(), fill=level)
        mask = mask.filter(ImageFilter.BoxBlur(0.018 * side))
        mask = mask.resize((canvas.side, canvas.side), Image.Resampling.BILINEAR)
        # Nothing above the shoulders is beneath an arm: half of the picture is left alone.
        top = canvas.side // 2
        mask = mask.crop((0, top, canvas.side, canvas.side))
        torso = Image.new("L", mask.size)
        torso.paste(self._torso_mask, (offset[0], offset[1] - top))
        half = canvas.image.crop((0, top, canvas.side, canvas.side))
        cast_shadow(half, ImageChops.multiply(mask, torso))
        canvas.image.paste(half, (0, top))
