"""Crops: written down, and around hands and face; nothing leaves the square that can be in it."""

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import crops, landmarks
from jaxgesture.data.boxes import ABSENT
from jaxgesture.data.image import crop_box
from jaxgesture.data.landmarks import Landmarks


def test_words_and_numbers():
    for word in ("center", "left", "right", "top", "bottom", "landmarks"):
        assert crops.parse_crop(f" {word} ") == word
    assert crops.parse_crop("10, 0,40.5") == (10.0, 0.0, 40.5)


@pytest.mark.parametrize(
    "text", ["", "centre", "1,2", "1,2,3,4", "1,2,x", "-1,0,5", "0,0,0", "nan,0,5", "0,0,inf"]
)
def test_what_is_no_crop(text):
    with pytest.raises(UserError, match="is not understood; use center, left, .*landmarks, or x,y"):
        crops.parse_crop(text)


def _marks(*rows, fps: float = 25.0) -> Landmarks:
    """Rows of left hand, right hand and face; the lips count for nothing."""
    table = [[ABSENT if box is None else box for box in (*row, (0, 0, 1e6, 1e6))] for row in rows]
    return Landmarks(np.asarray(table, np.float32), fps)


def _holds(square, *boxes) -> bool:
    x, y, side = square
    return all(
        x <= x0 and y <= y0 and x1 <= x + side and y1 <= y + side for x0, y0, x1, y1 in boxes
    )


def test_union_over_time_with_a_margin():
    first = [(200, 120, 230, 150), None, (140, 40, 180, 90)]
    second = [None, (100, 100, 120, 130), None]
    square = crops.around_landmarks(_marks(first, second), 0, 0.08, 400, 300)
    # The union is 100 to 230 by 40 to 150: 130 and twice 13, about its middle.
    assert square == (87, 17, 156)


def test_only_the_part_that_is_asked_for_counts():
    here, there = [None, None, (100, 100, 150, 150)], [None, None, (0, 0, 50, 50)]
    marks = _marks(*[there] * 25, *[here] * 25, *[there] * 25)
    square = crops.around_landmarks(marks, 1.0, 2.0, 320, 180)
    assert square == (95, 95, 60)
    # At half the rate each row is shown twice.
    slow = Landmarks(marks.boxes[::2], 12.5)
    assert crops.around_landmarks(slow, 1.04, 1.96, 320, 180) == square


def test_smallest_square():
    square = crops.around_landmarks(_marks([None, None, (200, 200, 210, 212)]), 0, 0.04, 640, 480)
    assert square == (125, 126, 160)


def test_near_the_edges_and_beyond():
    marks = _marks([(-30, 100, 20, 140), (610, 20, 655, 60), (300, -5, 340, 40)])
    # What lies outside the picture cannot be kept.
    assert crops.around_landmarks(marks, 0, 0.04, 640, 700) == (0, 0, 640)
    corner = _marks([None, (600, 660, 660, 720), None])
    assert crops.around_landmarks(corner, 0, 0.04, 640, 700) == (426, 486, 214)


def test_face_goes_first_where_not_everything_fits():
    left, right, face = (20, 100, 60, 140), (560, 100, 620, 140), (350, 20, 400, 70)
    x, y, side = crops.around_landmarks(_marks([left, right, face]), 0, 0.04, 640, 200)
    # No hand can be seen with the face: as near to the middle of everything as it allows.
    assert (x, y, side) == (220, 0, 200)
    near = (500, 100, 540, 140)
    square = crops.around_landmarks(_marks([left, near, face]), 0, 0.04, 640, 200)
    assert _holds(square, face, near) and square[2] == 200


def test_hand_that_is_seen_more_often_goes_first():
    often, rare = [(400, 10, 440, 50), None, None], [None, (20, 10, 60, 50), None]
    square = crops.around_landmarks(_marks(often, often, rare), 0, 0.12, 640, 100)
    assert _holds(square, often[0]) and square[2] == 100


def test_nothing_seen():
    marks = _marks([(10, 10, 20, 20), None, None], *[[None] * 3] * 30)
    for part in ((0.04, 1.0), (5.0, 6.0)):
        with pytest.raises(
            UserError, match="neither a hand nor the face is seen from .* s; choose"
        ):
            crops.around_landmarks(marks, *part, 320, 180)
    outside = _marks([(330, 10, 360, 20), None, None])
    with pytest.raises(UserError, match="neither a hand nor the face"):
        crops.around_landmarks(outside, 0, 0.04, 320, 180)


def test_squares_are_inside_and_hold_all_that_fits():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        width, height = (int(n) for n in rng.integers(8, 500, 2))
        corner = rng.uniform(-20, 500, (4, 3, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(1, 90, (4, 3, 2))], axis=-1)
        boxes = boxes.astype(np.float32)
        boxes[rng.random((4, 3)) < 0.5] = np.nan
        try:
            square = crops.around_landmarks(_marks(*boxes), 0, 0.16, width, height)
        except UserError:
            continue
        crop_box(width, height, square)
        shorter = min(width, height)
        assert shorter / 3 <= square[2] <= shorter
        cut = np.clip(boxes[np.isfinite(boxes).all(-1)], 0, [width, height] * 2)
        cut = cut[(cut[:, 2:] > cut[:, :2]).all(-1)]
        extent = np.ceil(cut[:, 2:].max(0)) - np.floor(cut[:, :2].min(0))
        if extent.max() <= shorter:
            held += 1
            assert _holds(square, *cut)
    assert held > 50


@pytest.mark.parametrize("name", ["seated_man", "seated_woman", "ted_speaker", "ted_silent_3"])
def test_real_landmarks(shared, name):
    marks = landmarks.read(shared / "data" / "clips" / f"{name}.landmarks.npz")
    # As if the clip were part of a wider picture, of which it does not use the shorter side up.
    wide = Landmarks(marks.boxes + np.float32([300, 200] * 2), marks.fps)
    boxes = wide.boxes[50:100, :3].reshape(-1, 4)
    boxes = boxes[np.isfinite(boxes).all(-1)]
    square = crops.around_landmarks(wide, 2.0, 4.0, 1280, 720)
    assert _holds(square, *boxes)
    union = boxes[:, 2:].max(0) - boxes[:, :2].min(0)
    assert square[2] == pytest.approx(max(240, 1.2 * union.max()), abs=3)
    whole = crops.around_landmarks(marks, 0.0, marks.seconds, 256, 256)
    seen = marks.boxes[:, :3].reshape(-1, 4)
    assert _holds(whole, *np.clip(seen[np.isfinite(seen).all(-1)], 0, 256))
