"""Which files belong together, and what is read of them."""

import numpy as np
import pytest
import soundfile
from evaluation import videos

from jaxgesture.core.errors import UserError
from jaxgesture.data import image, landmarks, video
from jaxgesture.evaluation import video_sets


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return videos.true_set(tmp_path_factory.mktemp("true"))


def test_files_of_one_name_are_one_recording(folder):
    found = video_sets.find(folder)
    assert list(found) == ["speaker0/clip0", "speaker0/clip2", "speaker1/clip1"]
    one = found["speaker1/clip1"]
    assert one.speaker == "speaker1"
    assert one.video.name == "clip1.mp4" and one.landmarks.name == "clip1.landmarks.npz"
    assert one.beats.name == "clip1.beats.txt" and one.motion is None and one.sound is None


def test_what_is_beside_alone_is_no_recording(tmp_path):
    (tmp_path / "speech.wav").touch()
    (tmp_path / "speech.beats.txt").touch()
    (tmp_path / "speech.json").touch()
    with pytest.raises(UserError, match="no videos, landmarks or motion features"):
        video_sets.find(tmp_path)
    np.savez(tmp_path / "speech.npz", motion=np.zeros((5, 3)))
    (recording,) = video_sets.find(tmp_path).values()
    assert recording.motion is not None and recording.sound is not None
    assert video_sets.speech_of(recording) == tmp_path / "speech.beats.txt"


def test_no_folder_and_two_videos_of_one_name(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        video_sets.find(tmp_path / "none")
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.webm").touch()
    with pytest.raises(UserError, match=r"both a.mp4 and a.webm"):
        video_sets.find(tmp_path)


def test_frames_are_those_that_are_wanted(folder):
    path = folder / "speaker0/clip0.mp4"
    assert video_sets.look(path).frames == 75
    found = video_sets.read(path, {70, 3}, videos.SIZE)
    assert list(found) == [3, 70]
    whole = list(video.read_frames(path, fps=25, size=videos.SIZE))
    assert all(np.array_equal(found[k], whole[k]) for k in found)
    assert list(video_sets.read(path, {74, 75, 90}, videos.SIZE)) == [74]
    assert video_sets.read(path, [], videos.SIZE) == {}


def test_boxes_and_joints_are_fractions_of_the_square_that_is_looked_at(tmp_path):
    clip = videos.play(0)
    wide = np.pad(clip.frames, ((0, 0), (0, 0), (20, 12), (0, 0)))[:, :, :80]
    path = tmp_path / "wide.mp4"
    with videos.VideoWriter(path, (48, 80), 25) as writer:
        writer.write(wide)
    marks = videos.presenter_landmarks.exact(clip)
    marks["pose"][..., 0] += 20
    for name in ("left_hand_box", "right_hand_box", "face_box"):
        marks[name][:, [0, 2]] += 20
    videos.presenter_landmarks.write(tmp_path / "wide.landmarks.npz", marks)
    picture = video_sets.look(path)
    assert picture.box == image.crop_box(80, 48, "center") == (16, 0, 64, 48)
    boxes = video_sets.read_boxes(tmp_path / "wide.landmarks.npz", picture, 75)
    expected = clip.boxes["face"] / 48 + np.array([4, 0, 4, 0]) / 48
    np.testing.assert_allclose(boxes[:, 2], np.clip(expected, 0, 1), atol=1e-5)
    pose = landmarks.read_pose(tmp_path / "wide.landmarks.npz")
    joints = video_sets.arms(video_sets.points_of(pose, picture))
    wrist = clip.joints[:, clip.joint_names.index("left_wrist")]
    place = list(video_sets.ARMS).index("left_wrist")
    np.testing.assert_allclose(joints[:, place], wrist / 48 + [4 / 48, 0], atol=1e-5)


def test_short_gaps_of_joints_are_filled_and_long_ones_are_not():
    points = np.ones((60, 33, 3)) * np.arange(60)[:, None, None]
    points[10:15] = np.nan
    np.testing.assert_allclose(video_sets.arms(points)[:, 0, 0], np.arange(60))
    points[10:36] = np.nan
    assert video_sets.arms(points) is None
    assert video_sets.arms(np.full((60, 33, 3), np.nan)) is None
    assert video_sets.arms(np.ones((1, 33, 3))) is None


def test_beats_of_a_list_and_of_a_sound(tmp_path, folder):
    file = tmp_path / "a.beats.txt"
    file.write_text("1.5\n0.25\n\n")
    np.testing.assert_array_equal(video_sets.beats(file), [0.25, 1.5])
    file.write_text("\ufeff0.5\n", encoding="utf-8")
    np.testing.assert_array_equal(video_sets.beats(file), [0.5])
    for wrong in ("a\n", "nan\n", "-1\n"):
        file.write_text(wrong)
        with pytest.raises(UserError, match=r"a.beats.txt"):
            video_sets.beats(file)
    found = video_sets.beats(folder / "speaker0/clip0.mp4")
    assert len(found) > 2 and (np.diff(found) > 0).all() and found[-1] < videos.SECONDS


def test_silence_has_no_beats(tmp_path, recwarn):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(16000), 16000)
    with pytest.raises(UserError, match="is silent: its speech has no beats"):
        video_sets.beats(path)
    assert not len(recwarn)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros((4, 2))}, "holds no motion features"),
        ({"motion": np.zeros(4)}, "holds no motion features"),
        ({"motion": np.full((4, 2), np.inf)}, "not finite"),
    ],
)
def test_files_that_hold_no_motion(tmp_path, arrays, message):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=message):
        video_sets.read_motion(path)
    path.write_bytes(b"PK nonsense")
    with pytest.raises(UserError, match="no readable"):
        video_sets.read_motion(path)
