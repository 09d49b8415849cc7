"""Damage of known kind: what it changes, and what it leaves alone."""

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data.presenter import perform
from jaxgesture.evaluation import video_sets
from jaxgesture.generation import damaged

GRADES = {grade.folder: grade for grade in damaged.grades()}


@pytest.fixture(scope="module")
def play():
    return perform(0, 0, 2.0, 32)


def of(damage):
    return [grade for grade in GRADES.values() if grade.damage == damage]


def poses(clip):
    return np.nan_to_num(clip.marks["pose"])


def moments(clip, play):
    """Frame of the performance that each frame of the clip shows, by its landmarks."""
    whole = poses(damaged._whole(play))
    return np.array([np.abs(whole - pose).sum(axis=(1, 2)).argmin() for pose in poses(clip)])


def test_every_grade_has_a_folder_of_its_own():
    assert len(GRADES) == len(damaged.grades())
    assert not any(sign in name for name in GRADES for sign in "/ %")


@pytest.mark.parametrize("damage", ["blur", "noise"])
def test_pictures_are_damaged_and_nothing_else(play, damage):
    whole = damaged._whole(play)
    errors = []
    for grade in of(damage):
        clip = grade.make(play, 3)
        np.testing.assert_array_equal(poses(clip), poses(whole))
        np.testing.assert_array_equal(clip.beats, whole.beats)
        assert clip.frames.dtype == np.uint8 and clip.frames.shape == whole.frames.shape
        errors.append(((clip.frames - whole.frames.astype(float)) ** 2).mean())
    assert 0 < errors[0] < errors[1] < errors[2]


def test_noise_is_as_strong_as_it_says(play):
    for grade, sigma in zip(of("noise"), (8, 16, 32), strict=True):
        noise = grade.make(play, 3).frames - play.frames.astype(float)
        # Away from black and white, where it is cut off.
        assert noise[(play.frames > 96) & (play.frames < 160)].std() == pytest.approx(sigma, 0.05)


@pytest.mark.parametrize("damage", ["shaken frames", "frozen pose"])
def test_landmarks_go_with_the_frames(play, damage):
    whole = damaged._whole(play)
    for grade in of(damage):
        clip = grade.make(play, 3)
        assert clip.frames.shape == whole.frames.shape
        for frame, pose in zip(clip.frames, poses(clip), strict=True):
            places = [k for k in range(len(play)) if np.array_equal(whole.frames[k], frame)]
            assert any(np.array_equal(poses(whole)[k], pose) for k in places)
        np.testing.assert_array_equal(clip.beats, whole.beats)


def test_shaken_frames_are_ever_further_from_their_moment(play):
    away = [
        float(np.std(moments(grade.make(play, 3), play) - np.arange(len(play))))
        for grade in of("shaken frames")
    ]
    assert away == pytest.approx([1, 2, 4], rel=0.35)


def test_a_frozen_pose_changes_as_often_as_it_says(play):
    rows = [moments(grade.make(play, 0), play) for grade in of("frozen pose")]
    assert [sorted(set(found.tolist())) for found in rows] == [[0, 10, 20, 30, 40], [0, 25], [0]]


def test_shifted_sound_moves_the_beats_alone(play):
    whole = damaged._whole(play)
    for grade, seconds in zip(of("sound shifted"), (0.1, 0.25, 0.5, 1.0), strict=True):
        clip = grade.make(play, 0)
        np.testing.assert_array_equal(clip.frames, whole.frames)
        np.testing.assert_array_equal(poses(clip), poses(whole))
        np.testing.assert_allclose(clip.beats, whole.beats + seconds)


def test_a_larger_share_of_other_motion_holds_the_smaller(play):
    whole = damaged._whole(play)
    touched = [
        {n for n in range(8) if not np.array_equal(poses(g.make(play, n)), poses(whole))}
        for g in of("motion of another speech")
    ]
    assert [len(found) for found in touched] == [2, 4, 8]
    assert touched[0] < touched[1] < touched[2]


def test_other_motion_is_of_the_same_speaker_to_the_beats_of_the_first(play):
    clip = of("motion of another speech")[-1].make(play, 1)
    np.testing.assert_array_equal(clip.beats, play.beats)
    assert clip.frames.shape == play.frames.shape and len(clip.marks["pose"]) == len(play)
    corners = [perform(1, identity, 0.2, 32).frames[0, :4, :4] for identity in (0, 1)]
    np.testing.assert_array_equal(clip.frames[0, :4, :4], corners[0])
    assert not np.array_equal(corners[0], corners[1])


def test_clips_that_are_there_are_kept(tmp_path):
    chosen = [of("noise")[0], of("sound shifted")[0]]
    options = {"clips": 2, "identities": 2, "seconds": 1.0, "size": 32}
    ticks = []
    folders = damaged.write_clips(tmp_path, chosen, tick=ticks.append, **options)
    assert len(ticks) == 6 and set(folders) == {"true", *(grade.folder for grade in chosen)}
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    damaged.write_clips(tmp_path, chosen, **options)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    lost = folders[chosen[0].folder] / "clip_001.mp4"
    content = lost.read_bytes()
    lost.unlink()
    damaged.write_clips(tmp_path, chosen, **options)
    assert lost.read_bytes() == content
    others = {path for path in before if path.is_file() and path.stem.split(".")[0] != lost.stem}
    assert all(path.stat().st_mtime_ns == before[path] for path in others)
    with pytest.raises(UserError, match="give another --out"):
        damaged.write_clips(tmp_path, chosen, **{**options, "clips": 3})
    true, shifted = (video_sets.find(folders[n]) for n in ("true", chosen[1].folder))
    first, second = true["clip_001"].beats, shifted["clip_001"].beats
    assert first is not None and second is not None
    moved = video_sets.beats(second) - video_sets.beats(first)
    np.testing.assert_allclose(moved, 0.1, atol=0.0015)
