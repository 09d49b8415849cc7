"""Joints and beats of clips: of a presenter as it performed, of others as their boxes say."""

import dataclasses

import numpy as np
import pytest
import soundfile

from jaxgesture.core.errors import UserError
from jaxgesture.data import audio, boxes, poses
from jaxgesture.data.datasets import ClipData, FrameDataset, write_frames
from jaxgesture.data.presenter import perform

SIZE, FRAMES = 32, 12
SEED, IDENTITY = -7, 3
ONSETS = (2, 5, 11)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> FrameDataset:
    play = perform(SEED, IDENTITY, FRAMES / 25, SIZE)
    features = np.random.default_rng(0).uniform(0, 0.5, (FRAMES, 35)).astype(np.float32)
    features[ONSETS, audio.COLUMNS.index("onset")] = 1
    corners = np.tile(np.array([0.1, 0.2, 0.3, 0.4], np.float32), (FRAMES, 4, 1))
    corners[:, boxes.PARTS.index("right_hand")] = (0.6, 0.5, 1, 0.9)
    corners[4, boxes.PARTS.index("left_hand")] = np.nan

    def clip(name, *, source=None, sound=True, places=None):
        return ClipData(
            name, "train", play.frames, features if sound else None, speaker="s",
            source=source or f"{name}.mp4", boxes=places,
        )  # fmt: skip

    clips = [
        clip("presenter", source=f"presenter seed {SEED} identity {IDENTITY}"),
        clip("talk", places=corners),
        clip("mute", sound=False, places=corners),
        clip("bare"),
        clip("cited", source=f"a presenter seed {SEED} identity {IDENTITY}.mp4"),
    ]
    directory = tmp_path_factory.mktemp("poses") / "set"
    return write_frames(directory, clips, size=SIZE, image_format="png")


def test_a_presenter_moves_as_it_performed(dataset):
    play = perform(SEED, IDENTITY, FRAMES / 25, 64)
    found = poses.poses_of(dataset, "presenter")
    np.testing.assert_allclose(found.positions, play.joints / 64, atol=1e-6)
    assert (found.joints, found.meaning) == (play.joint_names, poses.STRESSED)
    np.testing.assert_array_equal(found.beats, play.beats)


def test_the_performance_of_a_clip_is_the_one_it_shows(dataset):
    clip = dataset.clip("presenter")
    play = poses.performance_of(clip, SIZE, dataset.fps)
    assert play is not None and (play.seed, play.identity) == (SEED, IDENTITY)
    np.testing.assert_array_equal(play.frames, dataset.frames(clip))
    assert poses.identity_of(clip) == IDENTITY


@pytest.mark.parametrize("name", ["talk", "cited"])
def test_other_clips_show_no_presenter(dataset, name):
    clip = dataset.clip(name)
    assert poses.identity_of(clip) is None
    assert poses.performance_of(clip, SIZE, dataset.fps) is None


def test_hands_are_the_middles_of_their_boxes(dataset):
    found = poses.poses_of(dataset, "talk")
    assert (found.joints, found.meaning) == (poses.HANDS, poses.ONSETS)
    np.testing.assert_allclose(found.positions[0], [[0.2, 0.3], [0.8, 0.7]], atol=1e-6)
    assert np.isnan(found.positions).any(axis=2).tolist() == [
        [frame == 4, False] for frame in range(FRAMES)
    ]
    np.testing.assert_allclose(found.beats, np.array(ONSETS) / 25)


def test_onsets_are_seconds_of_their_frames(dataset):
    found = poses.onsets_of(dataset, dataset.clip("talk"))
    np.testing.assert_allclose(found, [0.08, 0.2, 0.44])


def test_onsets_are_found_behind_features_of_a_network(tmp_path):
    features = np.ones((FRAMES, 40), np.float32)
    features[:, 5 + audio.COLUMNS.index("onset")] = np.arange(FRAMES) == 3
    frames = np.zeros((FRAMES, SIZE, SIZE, 3), np.uint8)
    clip = ClipData("a", "train", frames, features, speaker="s", source="a.mp4")
    wide = write_frames(tmp_path / "set", [clip], size=SIZE, audio_size=40)
    assert poses.onsets_of(wide, wide.clip("a")).tolist() == [3 / 25]


@pytest.mark.parametrize(
    "name,message", [("mute", "has no sound, so no beats"), ("bare", "has no boxes of hands; make")]
)
def test_clips_without_sound_or_hands_are_refused(dataset, name, message):
    with pytest.raises(UserError, match=f"clip {name} {message}"):
        poses.poses_of(dataset, name)


def test_the_sound_of_a_clip(dataset, tmp_path):
    samples = np.linspace(-0.5, 0.5, 16000, dtype=np.float32)
    soundfile.write(tmp_path / "talk.wav", samples, 8000)
    (tmp_path / "talk.mp4").touch()
    clip = dataset.clip("presenter")
    sound, rate = poses.sound_of(clip, dataset.fps)
    np.testing.assert_array_equal(sound, perform(SEED, IDENTITY, FRAMES / 25, SIZE).audio)
    assert rate == 16000
    # Of a folder: what lies beside the video, from where the clip starts.
    talk = dataclasses.replace(dataset.clip("talk"), start=0.5)
    sound, rate = poses.sound_of(talk, dataset.fps, tmp_path)
    assert rate == 8000
    np.testing.assert_allclose(sound, samples[4000 : 4000 + round(talk.seconds * 8000)], atol=1e-4)
    assert poses.sound_of(talk, dataset.fps) is None
    assert poses.sound_of(dataset.clip("mute"), dataset.fps, tmp_path) is None
    with pytest.raises(UserError, match="gone"):
        poses.sound_of(dataclasses.replace(talk, source="gone.mp4"), dataset.fps, tmp_path)
