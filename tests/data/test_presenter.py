"""The synthetic presenter: determinism, known truth against pixels, motion that follows speech."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from jaxgesture.core.errors import UserError
from jaxgesture.data.presenter import corpus, find_lips, mouth_opening, perform
from jaxgesture.data.presenter.looks import HAIR_STYLES, OUTFITS, ROOMS, look_of


@pytest.fixture(scope="module")
def clip():
    return perform(seed=3, identity=6, seconds=8.0, size=64)


def test_shapes_and_ranges(clip):
    assert clip.frames.shape == (200, 64, 64, 3) and clip.frames.dtype == np.uint8
    assert clip.audio.shape == (128_000,) and clip.audio.dtype == np.float32
    assert 0.1 < np.abs(clip.audio).max() <= 1.0
    assert clip.joints.shape == (200, len(clip.joint_names), 2)
    for name in ("left_hand", "right_hand", "face", "lips"):
        box = clip.boxes[name]
        assert box.shape == (200, 4)
        assert np.all(box[:, 2:] > box[:, :2])
    for signal in (clip.mouth, clip.loudness):
        assert signal.shape == (200,) and signal.min() >= 0.0 and 0.6 < signal.max() <= 1.0
    assert np.all(np.diff(clip.beats) > 0.3) and clip.beats[-1] < 8.0


def test_same_arguments_give_the_same_bytes():
    first, second = (perform(5, 2, 0.4, 48) for _ in range(2))
    assert first.frames.tobytes() == second.frames.tobytes()
    assert first.audio.tobytes() == second.audio.tobytes()
    assert first.joints.tobytes() == second.joints.tobytes()
    assert perform(6, 2, 0.4, 48).audio.tobytes() != first.audio.tobytes()


def test_size_changes_the_pixels_only():
    small, large = perform(4, 1, 2.0, 64), perform(4, 1, 2.0, 256)
    np.testing.assert_allclose(large.joints, 4.0 * small.joints, rtol=1e-5)
    np.testing.assert_array_equal(large.mouth, small.mouth)
    np.testing.assert_array_equal(large.audio, small.audio)
    shrunk = large.frame(30).reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
    # Measured: 2.0 of 255.
    assert np.abs(shrunk - small.frame(30)).mean() < 4.0


def test_identity_changes_looks_and_voice_but_not_words_or_gestures():
    one, other = perform(4, 1, 2.0, 32), perform(4, 2, 2.0, 32)
    np.testing.assert_array_equal(one.beats, other.beats)
    np.testing.assert_array_equal(one.mouth, other.mouth)
    wrist = one.joint_names.index("left_wrist")
    np.testing.assert_array_equal(one.joints[:, wrist], other.joints[:, wrist])
    assert np.abs(one.frame(0).astype(int) - other.frame(0)).mean() > 10
    assert np.corrcoef(one.audio, other.audio)[0, 1] < 0.9


@pytest.mark.parametrize(
    "seconds, frames, samples", [(0.04, 1, 640), (0.01, 1, 160), (1.3, 33, 20_800)]
)
def test_any_length(seconds, frames, samples):
    clip = perform(seconds=seconds, size=32)
    assert len(clip) == len(clip.frames) == frames
    assert len(clip.audio) == samples


def test_ten_minutes_stream():
    clip = perform(seconds=600.0, size=32)
    assert len(clip) == 15_000 and len(clip.audio) == 9_600_000
    last = list(clip.stream(14_998))
    assert len(last) == 2 and last[0].shape == (32, 32, 3)
    np.testing.assert_array_equal(last[-1], clip.frame(-1))


def test_a_longer_clip_begins_like_the_shorter():
    short, long = perform(9, 0, 3.0, 32), perform(9, 0, 12.0, 32)
    np.testing.assert_allclose(long.joints[:60], short.joints[:60], atol=1e-4)
    np.testing.assert_allclose(long.mouth[:60], short.mouth[:60], atol=1e-6)


@pytest.mark.parametrize("arguments", [{"size": 16}, {"size": 4096}, {"seconds": 0.0}, {"fps": -1}])
def test_impossible_clips_are_refused(arguments):
    with pytest.raises(UserError, match="choose"):
        perform(**arguments)


def test_any_integer_is_a_speaker_and_neighbours_differ():
    for identity in (-7, 10**30):
        assert perform(identity, identity, 0.04, 32).frames.std() > 10
    looks = [look_of(i) for i in range(40)]
    assert {look.hair_style for look in looks} == set(HAIR_STYLES)
    assert {look.outfit for look in looks} == set(OUTFITS)
    assert {look.room for look in looks} == set(ROOMS)
    for a, b in zip(looks, looks[1:], strict=False):
        assert a.skin != b.skin and a.hair_style != b.hair_style and a.cloth != b.cloth


def test_the_background_stands_still_and_the_hands_move(clip):
    moving = clip.frames.astype(float).std(axis=0).mean(axis=-1)
    assert moving[:30, :10].max() == 0.0 and moving[:30, -10:].max() == 0.0
    wrists = [clip.joint_names.index(f"{side}_wrist") for side in ("left", "right")]
    for wrist in wrists:
        span = np.ptp(clip.joints[:, wrist], axis=0) / clip.size
        assert span.max() > 0.2


def test_hands_and_rest_pose_stay_inside_the_frame():
    for seed in range(4):
        clip = perform(seed, 0, 20.0, 64)
        for side in ("left", "right"):
            box = clip.boxes[f"{side}_hand"]
            assert box.min() > -1.0 and box.max() < 65.0
            rest = box[0]
            assert rest[1] > 44 and rest[3] < 64 and rest[0] > 10 and rest[2] < 54


def test_hand_boxes_hold_the_hands():
    """What differs between two frames of a still presenter with other hands lies in arms' reach."""
    clip = perform(3, 0, 6.0, 128)
    skin = np.array(look_of(0).skin)
    for frame in (20, 60, 100):
        picture = clip.frame(frame).astype(int)
        for side in ("left", "right"):
            x0, y0, x1, y1 = np.rint(clip.boxes[f"{side}_hand"][frame]).astype(int)
            patch = picture[max(y0, 0) : y1, max(x0, 0) : x1]
            near = np.abs(patch - skin).sum(axis=-1) < 60
            assert near.mean() > 0.25


def test_bones_keep_their_length_in_three_dimensions():
    """Projected bones are never longer than the bones."""
    clip = perform(2, 0, 20.0, 64)
    names = clip.joint_names
    for side in ("left", "right"):
        shoulder, elbow, wrist = (
            clip.joints[:, names.index(f"{side}_{joint}")] / 64
            for joint in ("shoulder", "elbow", "wrist")
        )
        assert np.linalg.norm(elbow - shoulder, axis=1).max() < 0.236
        assert np.linalg.norm(wrist - elbow, axis=1).max() < 0.216
        assert np.linalg.norm(np.diff(wrist, axis=0), axis=1).max() < 0.14


@pytest.mark.parametrize("identity", range(10))
def test_mouth_opening_from_pixels(identity):
    clip = perform(identity + 11, identity, 6.0, 64)
    # Measured on 40 identities: 0.96 and more, blurred 0.88 and more.
    assert np.corrcoef(mouth_opening(clip.frames), clip.mouth)[0, 1] > 0.9
    blurred = gaussian_filter(clip.frames.astype(np.float32) / 255, (0, 1, 1, 0))
    assert np.corrcoef(mouth_opening(blurred), clip.mouth)[0, 1] > 0.8
    box = clip.boxes["lips"].mean(axis=0)
    assert np.corrcoef(mouth_opening(blurred, box), clip.mouth)[0, 1] > 0.8


def test_lips_are_found_and_bad_boxes_refused(clip):
    found = np.asarray(find_lips(clip.frames))
    true = clip.boxes["lips"].mean(axis=0)
    np.testing.assert_allclose(0.5 * (found[:2] + found[2:]), 0.5 * (true[:2] + true[2:]), atol=3)
    with pytest.raises(ValueError, match="lips_box"):
        mouth_opening(clip.frames, np.zeros((3, 4)))
    with pytest.raises(ValueError, match="frames"):
        mouth_opening(clip.frames[0])


def test_motion_follows_speech(clip):
    assert np.corrcoef(clip.mouth, clip.loudness)[0, 1] > 0.8
    other = perform(seed=4, identity=6, seconds=8.0, size=64)
    assert abs(np.corrcoef(clip.mouth, other.loudness)[0, 1]) < 0.4
    silent = clip.loudness < 0.02
    assert silent.any() and clip.mouth[silent].mean() < 0.05


def test_strokes_end_on_beats():
    """Strokes end 0 to 120 ms after beats: the hands are fast before and slow after."""
    before, after = [], []
    for seed in range(6):
        clip = perform(seed, 0, 20.0, 64, fps=100)
        names = clip.joint_names
        wrists = clip.joints[:, [names.index("left_wrist"), names.index("right_wrist")]] / 64
        speed = np.linalg.norm(np.diff(wrists, axis=0), axis=-1).max(axis=1) * 100
        for beat in clip.beats[(clip.beats > 0.5) & (clip.beats < 19)]:
            k = round(beat * 100)
            before.append(speed[k - 8 : k + 4].mean())
            after.append(speed[k + 14 : k + 20].mean())
    assert np.mean(before) > 2.0 * np.mean(after)


def test_corpus_splits():
    clips = list(corpus(3, 3, 0.2, 32, test_identities=1, test_clips=1))
    assert len({name for name, _, _ in clips}) == 9
    splits = [(clip.identity, split) for _, split, clip in clips]
    assert [split for identity, split in splits if identity == 2] == ["test"] * 3
    assert [split for identity, split in splits if identity == 0] == ["train", "train", "test"]
    assert len({clip.seed for _, _, clip in clips}) == 9
    with pytest.raises(UserError, match="hold out fewer"):
        next(corpus(1, 3, test_identities=1))
