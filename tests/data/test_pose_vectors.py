"""Poses as unit vectors: what points where, other frame rates, windows."""

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import landmarks, pose_vectors
from jaxgesture.data.landmarks import Pose

# The camera sees the speaker's left on the right. No two bones point the same way.
SKELETON = {
    0: (130, 60), 2: (122, 44), 5: (114, 44), 11: (130, 100), 12: (70, 100), 13: (160, 140),
    14: (70, 140), 15: (184, 147), 16: (77, 164), 23: (110, 200), 24: (90, 200),
}  # fmt: skip
EXPECTED = {
    "spine": (0, -1), "neck-nose": (0.6, -0.8), "nose-head": (-0.6, -0.8),
    "right shoulder": (-1, 0), "right upper arm": (0, 1), "right forearm": (0.28, 0.96),
    "left shoulder": (1, 0), "left upper arm": (0.6, 0.8), "left forearm": (0.96, 0.28),
}  # fmt: skip


def skeleton(frames=1):
    points = np.full((frames, 33, 3), np.nan)
    points[..., 2] = 0
    for row, place in SKELETON.items():
        points[:, row] = (*place, 1)
    return points


def test_every_vector_points_along_its_bone():
    found = pose_vectors.pose_vectors(skeleton())[0].reshape(9, 3)
    for name, vector in zip(pose_vectors.NAMES, found, strict=True):
        np.testing.assert_allclose(vector, (*EXPECTED[name], 0), atol=1e-12, err_msg=name)


def test_vectors_have_unit_length_at_any_size():
    points = skeleton()
    points[..., :2] += np.random.default_rng(0).normal(0, 5, (1, 33, 2))
    one = pose_vectors.pose_vectors(points)
    points[..., :2] = 0.01 * points[..., :2] + 3
    np.testing.assert_allclose(pose_vectors.pose_vectors(points), one, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(one.reshape(9, 3), axis=1), 1)


def test_hips_that_are_not_seen_leave_the_spine_upright():
    points = skeleton()
    points[:, 23] = (0, 100, 0.2)
    assert pose_vectors.pose_vectors(points)[0, :3].tolist() == [0, -1, 0]
    points[:, [23, 24]] = np.nan
    assert pose_vectors.pose_vectors(points)[0, :3].tolist() == [0, -1, 0]


def test_hips_that_come_and_go_leave_no_gap_at_another_frame_rate():
    points = skeleton(10)
    points[:3, 24] = points[6:, 24] = (np.nan, np.nan, 0)
    between = pose_vectors.steady(Pose(points, 25.0), 60.0)
    visible = between[:, 24, 2] >= pose_vectors.MIN_VISIBILITY
    assert (visible & np.isnan(between[:, 24, 0])).any()
    spine = pose_vectors.pose_vectors(between)[:, :3]
    np.testing.assert_allclose(spine, np.tile([0.0, -1.0, 0.0], (len(between), 1)), atol=1e-12)


def test_a_joint_that_is_missing_is_no_vector_at_all():
    points = skeleton(3)
    points[1, 15] = np.nan
    points[2, 13] = points[2, 11]  # an arm without length points nowhere
    found = np.isnan(pose_vectors.pose_vectors(points))
    assert found.all(axis=1).tolist() == found.any(axis=1).tolist() == [False, True, True]


def test_another_frame_rate():
    rows = np.arange(51.0)[:, None, None] * np.ones((1, 33, 3))
    found = pose_vectors.steady(Pose(rows, 25.0))[:, 0, 0]
    np.testing.assert_allclose(found, np.arange(31) * 25 / 15)
    assert pose_vectors.steady(Pose(rows, 15.0)) is rows
    np.testing.assert_array_equal(pose_vectors.steady(Pose(rows[:1], 25.0)), rows[:1])
    rows[10] = np.nan  # rows 6 and 5 1/3 hang on it, 6 2/3 and 5 do not
    gone = np.isnan(pose_vectors.steady(Pose(rows, 25.0))[:, 0, 0])
    assert np.flatnonzero(gone).tolist() == [6]


def test_frames_that_are_hit_exactly_need_no_neighbours():
    rows = np.arange(51.0)[:, None, None] * np.ones((1, 33, 3))
    rows[np.arange(51) % 5 > 0] = np.nan
    found = pose_vectors.steady(Pose(rows, 25.0))[:, 0, 0]
    assert found[::3].tolist() == list(range(0, 51, 5))
    assert np.isnan(np.delete(found, np.s_[::3])).all()


def test_windows():
    rows = np.arange(200.0).reshape(100, 2)
    found = pose_vectors.windows(rows, size=34, stride=10)
    assert found.shape == (7, 34, 2) and found[3, 0, 0] == 60
    rows[45] = np.nan
    assert pose_vectors.windows(rows, size=34, stride=10)[:, 0, 0].tolist() == [0, 20, 100, 120]
    assert pose_vectors.windows(rows[:33]).shape == (0, 34, 2)
    assert pose_vectors.windows(rows[:34]).shape == (1, 34, 2)
    assert pose_vectors.windows(rows[40:80]).shape == (0, 34, 2)


def test_landmarks_of_the_body_alone(tmp_path):
    path = tmp_path / "a.landmarks.npz"
    np.savez(path, pose=skeleton(4), fps=25.0)
    pose = landmarks.read_pose(path)
    assert pose.fps == 25 and pose.points.shape == (4, 33, 3) and pose.points.dtype == np.float64


def test_joints_that_are_guessed_are_not_found(tmp_path):
    path = tmp_path / "a.landmarks.npz"
    pose = skeleton(2)
    pose[:, 15, 2] = (0.49, 0.5)
    pose[:, 16, 2] = (np.nan, 1)
    np.savez(path, pose=pose, fps=25.0)
    found = landmarks.read_pose(path).points
    np.testing.assert_array_equal(found[0, 15:17], [[np.nan, np.nan, 0]] * 2)
    np.testing.assert_array_equal(found[1, 15:17], pose[1, 15:17])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"fps": 25.0}, "has no pose"),
        ({"pose": skeleton()}, "has no fps"),
        ({"pose": skeleton()[:, :20], "fps": 25.0}, r"\(T, 33, 3\) is expected"),
        ({"pose": skeleton(0), "fps": 25.0}, r"\(T, 33, 3\) is expected"),
        ({"pose": skeleton()[0], "fps": 25.0}, r"\(T, 33, 3\) is expected"),
        ({"pose": skeleton(), "fps": 0.0}, "one number above 0"),
        ({"pose": skeleton(), "fps": [25.0, 25.0]}, "one number above 0"),
    ],
)
def test_files_that_hold_no_body(tmp_path, arrays, message):
    path = tmp_path / "a.landmarks.npz"
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=message):
        landmarks.read_pose(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="no readable"):
        landmarks.read_pose(path)
