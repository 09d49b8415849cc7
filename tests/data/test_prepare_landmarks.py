"""Landmarks beside videos: the boxes they give, and what becomes of them on the way."""

import shutil

import numpy as np
import pytest
from data.made_videos import folder_of_videos, prepare_quickly
from media import make_video, set_display_matrix

from jaxgesture.core.errors import UserError
from jaxgesture.data.datasets import FrameDataset
from jaxgesture.data.segments import Segment


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return folder_of_videos(tmp_path_factory.mktemp("videos"))


def _landmarks(path, rows: int, fps: float = 25, down: float = 0.0) -> None:
    """Landmarks of a 64 x 48 picture: hands beside each other, the face above, all moving down."""
    moved = np.arange(rows)[:, None] * [0, down, 0, down]
    pose = np.full((rows, 33, 3), np.nan)
    pose[:, 9], pose[:, 10] = (34, 14, 1), (30, 14, 1)
    pose[..., 1] += moved[:, 1:2]
    np.savez(
        path,
        pose=pose,
        left_hand_box=moved + [40, 30, 50, 40],
        right_hand_box=moved + [2, 30, 12, 40],
        face_box=moved + [26, 4, 38, 18],
        fps=np.array(float(fps)),
    )


def test_landmarks_beside_videos_become_boxes(videos, tmp_path):
    for name in ("short.mp4", "mute #1.mkv", "jon/a long one.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(videos / name, tmp_path / "videos" / name)
    folder = tmp_path / "videos"
    _landmarks(folder / "short.landmarks.npz", 30)
    _landmarks(folder / "jon" / "a long one.landmarks.npz", 100, down=0.05)
    (folder / "mute #1.landmarks.npz").write_bytes(b"not landmarks")
    report = prepare_quickly(folder, tmp_path / "set")
    text = "\n".join(report.lines())
    assert "boxes of hands and face for 3 of 4 clips" in text
    assert "mute #1.mkv has no boxes" in text
    assert "mute #1.landmarks.npz is no readable .npz file" in text and not report.skipped
    dataset = FrameDataset(tmp_path / "set")
    # The square in the middle keeps columns 8 to 56: most of the right hand is outside.
    found = dataset.boxes("short")
    left, right, face, lips = np.moveaxis(found, 1, 0)
    np.testing.assert_allclose(left, np.tile([32, 30, 42, 40], (30, 1)) / 48, atol=1e-6)
    assert np.isnan(right).all()
    np.testing.assert_allclose(face, np.tile([18, 4, 30, 18], (30, 1)) / 48, atol=1e-6)
    np.testing.assert_allclose(lips[0] * 48, [20.4, 10.4, 27.6, 17.6], atol=1e-4)
    assert not dataset.clip("mute #1").has_boxes and np.isnan(dataset.boxes("mute #1")).all()
    parts = [dataset.boxes(f"jon/a long one{end}") for end in ("", ".last")]
    assert [len(part) for part in parts] == [70, 30]
    top = np.concatenate(parts)[:, 0, 1] * 48
    np.testing.assert_allclose(top, 30 + 0.05 * np.arange(100), atol=1e-4)
    assert prepare_quickly(folder, tmp_path / "set").lines()[1:] == report.lines()[1:]


def test_landmarks_follow_crop_segment_and_rate(videos, tmp_path):
    shutil.copy(videos / "jon" / "a long one.mp4", tmp_path / "a.mp4")
    _landmarks(tmp_path / "a.landmarks.npz", 40, fps=12.5, down=0.1)
    report = prepare_quickly(
        tmp_path / "a.mp4",
        tmp_path / "set",
        crop=(0, 8, 40),
        segments={"a.mp4": [Segment(1.0, 4.0)]},
        validation="none",
    )
    assert any("landmarks end 0.80 s before the pictures" in text for text in report.warnings)
    boxes = FrameDataset(tmp_path / "set").boxes("a")
    right = boxes[:, 1]
    # Output frame k shows the moment 1 + k / 25 s, which is row 12.5 + k / 2.
    rows = np.ceil(12.5 + np.arange(75) / 2 - 0.5 - 1e-6)
    there = rows < 40
    np.testing.assert_allclose(right[:, 1][there], (22 + 0.1 * rows[there]) / 40, atol=1e-5)
    assert np.isnan(boxes[55:]).all() and np.isfinite(right[:54]).all()


def test_landmarks_of_a_turned_video(tmp_path):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[10:30, 20:50] = 255
    path = make_video(tmp_path / "a.mp4", [picture] * 5)
    # Shown turned clockwise, 64 wide and 96 high: x' = 63 - y, y' = x.
    set_display_matrix(path, 0, 1, -1, 0)
    box = np.tile([64.0 - 30, 20.0, 64.0 - 10, 50.0], (5, 1))
    np.savez(
        tmp_path / "a.landmarks.npz",
        pose=np.full((5, 33, 3), np.nan),
        left_hand_box=box,
        right_hand_box=np.full((5, 4), np.nan),
        face_box=np.full((5, 4), np.nan),
        fps=np.array(25.0),
    )
    prepare_quickly(path, tmp_path / "set", size=64, crop="top")
    image, boxes = FrameDataset(tmp_path / "set").record("train", 1)
    np.testing.assert_allclose(boxes[0] * 64, [34, 20, 54, 50], atol=1e-4)
    rows, columns = (np.flatnonzero(image[..., 0].max(axis) > 127) for axis in (1, 0))
    edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(edges, boxes[0] * 64, atol=1)


def test_changed_landmarks_are_noticed(videos, tmp_path):
    file, marks = tmp_path / "x.mp4", tmp_path / "x.landmarks.npz"
    shutil.copy(videos / "short.mp4", file)
    assert prepare_quickly(file, tmp_path / "a").boxes == 0
    _landmarks(marks, 30)
    with pytest.raises(UserError, match="made with other landmarks"):
        prepare_quickly(file, tmp_path / "a")
    assert prepare_quickly(file, tmp_path / "b").boxes == 1
    assert prepare_quickly(file, tmp_path / "b").kept
    _landmarks(marks, 30, down=0.1)
    with pytest.raises(UserError, match="made with other landmarks"):
        prepare_quickly(file, tmp_path / "b")


def test_boxes_of_a_real_clip(shared, tmp_path):
    part = {"seated_man.mp4": [Segment(4.0, 7.0)]}
    prepare_quickly(
        shared / "data" / "clips" / "seated_man.mp4", tmp_path / "set", size=64, segments=part
    )
    dataset = FrameDataset(tmp_path / "set")
    found = np.concatenate([dataset.boxes(clip) for clip in dataset.clips()])
    there = np.isfinite(found).all(-1)
    assert len(found) == 75 and (there.mean(0) > 0.5).all() and there[:, 2:].all()
    seen = found[there]
    assert seen.min() >= 0 and seen.max() <= 1 and (seen[:, 2:] > seen[:, :2]).all()
    middle = (found[..., :2] + found[..., 2:]) / 2
    left, right, face, lips = np.nanmedian(middle, axis=0)
    assert face[1] < lips[1] < min(left[1], right[1]) and right[0] < left[0]
    np.testing.assert_allclose(lips[0], face[0], atol=0.1)
