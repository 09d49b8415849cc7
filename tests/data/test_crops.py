"""Crops as text, and the square around hands and face."""

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import crops, landmarks
from jaxgesture.data.boxes import ABSENT
from jaxgesture.data.landmarks import Landmarks


def _marks(*rows, fps=25.0) -> Landmarks:
    """Rows of left hand, right hand and face; the lips are never seen."""
    table = [[ABSENT if box is None else box for box in (*row, None)] for row in rows]
    return Landmarks(np.asarray(table, np.float32), fps)


def _inside(square, box) -> bool:
    x, y, side = square
    return x <= box[0] and y <= box[1] and box[2] <= x + side and box[3] <= y + side


def test_words_and_numbers():
    assert crops.parse_crop(" left ") == "left" and crops.parse_crop("landmarks") == "landmarks"
    assert crops.parse_crop("1, 2.5,30") == (1.0, 2.5, 30.0)
    for text in ("centre", "1,2", "1,2,x", ""):
        with pytest.raises(UserError, match="is not understood; use center, left, .*landmarks, or"):
            crops.parse_crop(text)


def test_all_boxes_of_the_clip_are_inside():
    rows = [
        ([700, 400, 780, 500], [300, 420, 360, 500], [480, 100, 580, 230]),
        (None, [250, 380, 320, 470], [490, 100, 590, 230]),
        ([720, 300, 800, 410], None, None),
    ]
    square = crops.around_landmarks(_marks(*rows), 0.0, 3 / 25, 1280, 720)
    assert all(_inside(square, box) for row in rows for box in row if box is not None)
    # 550 wide: a tenth of room on both sides.
    assert square[2] == pytest.approx(660, abs=1) and square[0] == pytest.approx(195, abs=1)
    # Only the rows of the part count.
    part = crops.around_landmarks(_marks(*rows), 0.0, 1 / 25, 1280, 720)
    assert part[2] < square[2] and all(_inside(part, box) for box in rows[0])


def test_square_stays_in_the_picture():
    corner = ([0, 650, 60, 720], None, [10, 500, 90, 600])
    x, y, side = crops.around_landmarks(_marks(corner), 0, 1, 1280, 720)
    assert x == 0 and y + side <= 720 and side >= 240 - 1
    assert _inside((x, y, side), corner[0]) and _inside((x, y, side), corner[2])


def test_face_alone_is_not_enlarged_without_end():
    x, y, side = crops.around_landmarks(_marks((None, None, [600, 300, 640, 350])), 0, 1, 1280, 720)
    assert side == pytest.approx(240, abs=1) and (x, y) == pytest.approx((500, 205), abs=1)


def test_face_is_kept_where_not_everything_fits():
    rows = [([1200, 400, 1270, 500], [10, 400, 90, 500], [200, 50, 300, 180])]
    square = crops.around_landmarks(_marks(*rows), 0, 1, 1280, 720)
    assert square[2] == 720 and _inside(square, rows[0][2])
    # As near to the middle of everything as the face allows.
    assert square[0] == 200


def test_nothing_seen():
    with pytest.raises(UserError, match="neither a hand nor the face is seen from 0 to 1 s"):
        crops.around_landmarks(_marks((None, None, None)), 0, 1, 640, 480)


def test_real_landmarks(shared):
    for path in sorted((shared / "data" / "clips").glob("*.landmarks.npz")):
        marks = landmarks.read(path)
        square = crops.around_landmarks(marks, 0, marks.seconds, 256, 256)
        seen = marks.boxes[:, :3].reshape(-1, 4)
        seen = np.clip(seen[np.isfinite(seen).all(-1)], 0, 256)
        inside = np.mean([_inside(square, box) for box in seen])
        assert inside == 1.0 or square[2] == 256, (path.name, square, inside)
