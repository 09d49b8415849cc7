"""Motion records: content, statistics, and whose frames and weights they belong to."""

import json

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data.datasets import FrameDataset, MotionClip, MotionDataset, write_motion

RNG = np.random.default_rng(0)
# A large mean beside a small spread: naive sums of squares in float32 lose the spread.
CLIPS = [
    MotionClip(
        name,
        split,
        (1000 + RNG.normal(size=(frames, 6))).astype(np.float32),
        RNG.normal(size=(frames, 3)).astype(np.float32) if sound else None,
    )
    for name, split, frames, sound in (
        ("a", "train", 50, True),
        ("b", "train", 7, False),
        ("v", "validation", 20, True),
        ("c", "train", 1, True),
    )
]
SHAS = {"frames_sha256": "f" * 64, "weights_sha256": "e" * 64}


def _write(out, clips=CLIPS, **changes):
    return write_motion(out, clips, **{"feature_size": 6, "audio_size": 3, **SHAS, **changes})


def test_content_and_statistics(tmp_path):
    dataset = _write(tmp_path / "motion")
    for clip in CLIPS:
        np.testing.assert_array_equal(dataset.motion(clip.id), clip.motion)
        if clip.audio is not None:
            np.testing.assert_array_equal(dataset.audio(clip.id), clip.audio)
    assert [clip.id for clip in dataset.clips("train", need_audio=True)] == ["a", "c"]
    train = np.concatenate([c.motion for c in CLIPS if c.split == "train"]).astype(np.float64)
    np.testing.assert_allclose(dataset.motion_mean, train.mean(0), rtol=1e-6)
    np.testing.assert_allclose(dataset.motion_std, train.std(0), rtol=1e-5)
    sound = np.concatenate([c.audio for c in (CLIPS[0], CLIPS[3])]).astype(np.float64)
    np.testing.assert_allclose(dataset.audio_mean, sound.mean(0), atol=1e-6)
    np.testing.assert_allclose(dataset.audio_std, sound.std(0), rtol=1e-5)
    index = json.loads((tmp_path / "motion" / "motion.json").read_text())
    assert (index["frames_sha256"], index["weights_sha256"]) == ("f" * 64, "e" * 64)
    assert dataset.features == index["features"] == "baseline-35"
    card = json.loads((tmp_path / "motion" / "dataset_card.json").read_text())
    assert card["weights_sha256"] == "e" * 64 and card["splits"]["train"]["frames"] == 58
    assert index["feature_size"] == 6 and len(index["motion_mean"]) == 6
    with pytest.raises(UserError, match="clip b has no sound"):
        dataset.audio("b")


def test_belongs_to_frames_and_weights(tmp_path):
    out = tmp_path / "motion"
    dataset = _write(out)
    dataset.require(**SHAS)
    with pytest.raises(UserError, match=r"made from other stage 1 weights.*extract.*again"):
        dataset.require(weights_sha256="0" * 64)
    with pytest.raises(UserError, match="made from other frames"):
        dataset.require(frames_sha256="0" * 64)
    assert _write(out, clips=iter(())).sha256 == dataset.sha256
    with pytest.raises(UserError, match="made with other weights_sha256"):
        _write(out, weights_sha256="0" * 64)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (MotionClip("x", "train", np.zeros((4, 5))), "is expected"),
        (MotionClip("x", "train", np.zeros((4, 6)), np.zeros((5, 3))), "is expected"),
        (MotionClip("x", "train", np.full((4, 6), np.nan)), "not finite"),
        (CLIPS[0], "two motion clips are called 'a'"),
    ],
)
def test_wrong_clips(tmp_path, clip, message):
    with pytest.raises(UserError, match=message):
        _write(tmp_path / "motion", clips=[CLIPS[0], clip])
    assert not list(tmp_path.iterdir())


def test_other_kinds_are_refused(tmp_path):
    _write(tmp_path / "motion")
    with pytest.raises(UserError, match="not a finished frames dataset"):
        FrameDataset(tmp_path / "motion")
    with pytest.raises(UserError, match="no such folder"):
        MotionDataset(tmp_path / "nothing")
