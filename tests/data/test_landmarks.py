"""Landmarks beside a video: their boxes, at the moments of the output frames; damage is named."""

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import landmarks
from jaxgesture.data.boxes import PARTS

LIPS = PARTS.index("lips")


def _arrays(rows: int = 4, fps: float = 25.0) -> dict[str, np.ndarray]:
    """A face of 40 x 50 pixels with a mouth 10 wide; every box is one pixel lower in each row."""
    down = np.arange(rows)[:, None] * [0, 1, 0, 1]
    pose = np.zeros((rows, 33, 3))
    pose[:, 9], pose[:, 10] = (105, 60, 1), (95, 60, 0.9)
    pose[:, :, 1] += np.arange(rows)[:, None]
    return {
        "pose": pose.astype(np.float16),
        "left_hand": np.full((rows, 21, 2), np.nan, np.float16),
        "right_hand": np.full((rows, 21, 2), np.nan, np.float16),
        "left_hand_box": (down + [150, 100, 170, 130]).astype(np.float32),
        "right_hand_box": (down + [30, 100, 50, 130]).astype(np.float32),
        "face_box": (down + [80, 20, 120, 70]).astype(np.float32),
        "fps": np.array(fps),
    }


def _read(folder, **changes):
    path = folder / "a.landmarks.npz"
    arrays = {name: a for name, a in {**_arrays(), **changes}.items() if a is not None}
    np.savez_compressed(path, **arrays)
    return landmarks.read(path)


def test_boxes_in_their_order(tmp_path):
    found = _read(tmp_path)
    assert (found.boxes.shape, found.boxes.dtype) == ((4, 4, 4), np.float32)
    assert (found.fps, found.seconds) == (25.0, 0.16)
    for i, name in enumerate(("left_hand_box", "right_hand_box", "face_box")):
        np.testing.assert_array_equal(found.boxes[:, i], _arrays()[name])
    # Half of the side is 0.9 of the distance between the corners.
    np.testing.assert_allclose(found.boxes[0, LIPS], [91, 51, 109, 69], atol=1e-3)
    np.testing.assert_allclose(found.boxes[3, LIPS], [91, 54, 109, 72], atol=1e-3)


def test_lips_of_a_profile_and_of_a_hidden_mouth(tmp_path):
    changes = _arrays()
    changes["pose"][0, 9, 0] = 96
    changes["pose"][1, 10, 2] = 0.4
    changes["pose"][2, 9, 2] = np.nan
    changes["face_box"][3] = np.nan
    found = _read(tmp_path, **changes).boxes[:, LIPS]
    np.testing.assert_allclose(found[0], [91.5, 56, 99.5, 64], atol=1e-3)  # 8 % of 50
    assert np.isnan(found[1:]).all()


@pytest.mark.parametrize("rate", [10, 12.5, 24, 25, 30, 50, 60])
def test_rows_nearest_in_time(tmp_path, rate):
    found = _read(tmp_path, **_arrays(20, rate)).at(25, 60)[:, 0, 1] - 100
    for k, row in enumerate(found):
        if k / 25 < 20 / rate - 1e-9:
            nearest = min(range(20), key=lambda i: (round(abs(i / rate - k / 25), 9), i))
            assert row == nearest
        else:
            assert np.isnan(row)


def test_no_rows(tmp_path):
    found = _read(tmp_path, **_arrays(0))
    assert found.seconds == 0 and np.isnan(found.at(25, 3)).all()


def test_what_was_not_found_stays_unknown(tmp_path):
    hand = _arrays()["left_hand_box"]
    hand[2] = np.nan
    found = _read(tmp_path, left_hand_box=hand).at(50, 8)
    assert np.isnan(found[:, 0]).all(-1).nonzero()[0].tolist() == [4, 5]
    assert np.isfinite(found[:, 1:]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pose": None, "fps": None}, "has no fps, pose; make it again"),
        ({"pose": np.zeros((4, 33, 2))}, r"pose is \(4, 33, 2\), \(T, 33, 3\) is expected"),
        ({"face_box": np.zeros((3, 4))}, "with one T for all"),
        ({"face_box": np.zeros(())}, "is expected, with one T"),
        ({"fps": np.array(0.0)}, "fps is 0.0, one number above 0"),
        ({"fps": np.array([25.0, 25.0])}, "one number above 0"),
        ({"fps": np.array(np.nan)}, "one number above 0"),
        ({"fps": np.array("fast")}, "no readable .npz file"),
        ({"pose": np.array([{}])}, "no readable .npz file"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        _read(tmp_path, **changes)
    text = str(caught.value)
    assert "a.landmarks.npz" in text and "\n" not in text


def test_damaged_files(tmp_path):
    path = tmp_path / "a.landmarks.npz"
    np.savez_compressed(path, **_arrays())
    whole = path.read_bytes()
    contents = [b"", b"text", whole[:-40], whole[: len(whole) // 2]]
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2 : len(whole) // 2 + 200] = bytes(200)
    for content in [*contents, bytes(spoilt)]:
        path.write_bytes(content)
        with pytest.raises(UserError, match="no readable .npz file"):
            landmarks.read(path)
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(UserError, match="no readable .npz file"):
        landmarks.read(path)


def test_the_file_beside_a_video(tmp_path):
    marks = tmp_path / "a talk.v2.landmarks.npz"
    assert landmarks.beside(tmp_path / "a talk.v2.mp4") is None
    marks.touch()
    assert landmarks.beside(tmp_path / "a talk.v2.mp4") == marks
    assert landmarks.beside(tmp_path / "a talk.mp4") is None


def test_real_files(shared):
    for path in sorted((shared / "data" / "clips").glob("*.landmarks.npz")):
        found = landmarks.read(path)
        assert found.fps == 25
        left, right, face, lips = np.moveaxis(found.boxes, 1, 0)
        assert np.isfinite(left).mean() > 0.5 and np.isfinite(right).mean() > 0.5
        middle = (lips[:, :2] + lips[:, 2:]) / 2
        seen = np.isfinite(lips).all(1)
        # The mouth lies in the lower half of the face; a face in profile has it at its edge.
        assert seen.mean() > 0.7
        height = (middle[seen, 1] - face[seen, 1]) / (face[seen, 3] - face[seen, 1])
        assert 0.5 < np.median(height) < 0.9
        across = (middle[seen, 0] - face[seen, 0]) / (face[seen, 2] - face[seen, 0])
        assert 0.1 < np.median(across) < 0.9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda boxes: boxes / 1000, "seem to be fractions"),
        (lambda boxes: boxes[:, [2, 3, 0, 1]], "are empty or inside out"),
        (lambda boxes: boxes.astype(complex), "is no readable .npz file"),
    ],
)
def test_boxes_that_are_no_corners_in_pixels(tmp_path, change, said):
    boxes = np.tile([10.0, 20.0, 30.0, 60.0], (5, 1))
    arrays = {name: change(boxes) for name in ("left_hand_box", "right_hand_box", "face_box")}
    path = tmp_path / "a.landmarks.npz"
    np.savez(path, pose=np.full((5, 33, 3), np.nan), fps=np.float64(25), **arrays)
    with pytest.raises(UserError, match=said):
        landmarks.read(path)
