import hashlib

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.evaluation import fvd
from jaxgesture.perceptual import i3d, weights


@pytest.fixture(scope="module")
def features():
    return fvd.load_video_features("random")


def clips(*, seed=0):
    """A noise, the same backwards in time, and a noise that stands still; 24 x 32 pixels."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (1, fvd.FRAMES, 24, 32, 3), dtype=np.uint8)
    return np.concatenate([noise, noise[:, ::-1], np.broadcast_to(noise[:, :1], noise.shape)])


def test_scores_tell_videos_apart_and_do_not_depend_on_the_batch(features):
    windows = clips()
    scores = features(windows)
    assert scores.shape == (3, i3d.CLASSES) and scores.dtype == np.float64
    assert np.isfinite(scores).all()
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(scores[a] - scores[b]).max() > 1e-2 * scores.std()  # rounding: 1e-6
    np.testing.assert_array_equal(features(windows[1:2]), scores[1:2])


def test_no_windows(features):
    assert features(clips()[:0]).shape == (0, 400)


def test_wrong_windows(features):
    with pytest.raises(ValueError, match="windows of 15 frames; cut them to 16"):
        features(clips()[:, :15])
    with pytest.raises(ValueError, match="frames are float32; give uint8"):
        features(clips()[:1].astype(np.float32))


def test_label_names_the_file_and_its_hash(features, tmp_path):
    assert features.label == "I3D, random weights: comparable with nothing published"
    path = tmp_path / "i3d.npz"
    table = weights.NETWORKS["i3d"].table
    np.savez(path, **{entry.name: np.ones(entry.shape, np.float32) for entry in table.entries})
    label = fvd.load_video_features(str(path)).label
    assert str(path) in label
    assert f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}" in label


def test_weights_that_do_not_fit():
    with pytest.raises(UserError, match="give the path of i3d_pretrained_400.pt from"):
        fvd.load_video_features("")
    with pytest.raises(ValueError, match="weights of alexnet; load those of i3d"):
        fvd.VideoFeatures(weights.load("alexnet", "random"))


@pytest.mark.parametrize("size", [1, 7, 16])
def test_windows_of_a_clip(size):
    for frames in range(0, 150):
        for count in (1, 2, 3, 8):
            starts = fvd.clip_windows(frames, count, size)
            assert starts.dtype.kind == "i"
            assert len(starts) == min(count, frames // size)
            if not len(starts):
                continue
            gaps = np.diff([-size, *starts, frames]) - size
            assert gaps.min() >= 0  # inside the clip and without overlap
            inner = gaps[1:-1]
            assert not len(inner) or inner.max() - inner.min() <= 1
            assert abs(gaps[0] - gaps[-1]) <= 1


def test_windows_of_known_clips():
    np.testing.assert_array_equal(fvd.clip_windows(15, 4), [])
    np.testing.assert_array_equal(fvd.clip_windows(16, 4), [0])
    np.testing.assert_array_equal(fvd.clip_windows(64, 4), [0, 16, 32, 48])
    np.testing.assert_array_equal(fvd.clip_windows(100, 2), [17, 67])
    with pytest.raises(ValueError, match="0 windows"):
        fvd.clip_windows(100, 0)
