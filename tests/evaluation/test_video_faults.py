"""Sets of videos with something wrong: it is told, and everything else is measured."""

import math

import numpy as np
import pytest
from evaluation import videos

from jaxgesture.core.errors import UserError
from jaxgesture.data import boxes as boxing
from jaxgesture.data import landmarks, presenter_landmarks
from jaxgesture.evaluation import (
    video_report,
    video_scores,
    video_sets,
    video_summary,
)
from jaxgesture.evaluation.clip_scores import POSE, REFERENCE, VIDEO
from jaxgesture.evaluation.reconstruction import MODEL


def measure_one(tmp_path, true, **options):
    """One generated clip that is written with options against its true one."""
    clip = videos.play(0)
    videos.write(tmp_path, "speaker0/clip0", clip, **options)
    return video_scores.measure({"ours": video_sets.find(tmp_path)}, true, videos.TOOLS)


def test_other_lengths_sizes_and_rates_are_told_and_compared(tmp_path, true):
    large = videos.play(0, size=64)
    found = measure_one(tmp_path / "size", true, frames=large.frames)
    assert any("64 pixels, the true one 48" in text for text in found.problems)
    assert found.systems["ours"]["speaker0/clip0"].regions["full"].means[MODEL]["psnr"] > 20
    short = videos.play(0).frames[:40]
    found = measure_one(tmp_path / "length", true, frames=short)
    assert any("the first 1.60 s are compared" in text for text in found.problems)
    slow = videos.play(0).frames[::2]
    found = measure_one(tmp_path / "rate", true, frames=slow, fps=12.5)
    assert any("12.5 frames a second, the true one 25" in text for text in found.problems)
    assert found.systems["ours"]["speaker0/clip0"].regions["full"].means[MODEL]["psnr"] > 20


def test_without_landmarks_or_sound_the_other_metrics_come_out(tmp_path, true):
    found = measure_one(tmp_path, true, marks=False, beats=False, sound=False)
    clip = found.systems["ours"]["speaker0/clip0"]
    assert clip.regions["full"].means and clip.regions["hand"].used  # boxes are the reference's
    assert clip.distance is None and clip.joints is None and not clip.alignment
    assert VIDEO in clip.features and POSE not in clip.features


def test_landmarks_that_hold_boxes_alone(tmp_path, true):
    clip = videos.play(0)
    videos.write(tmp_path, "speaker0/clip0", clip, marks=False)
    boxes = np.stack([clip.boxes[part] for part in boxing.PARTS], axis=1) / videos.SIZE
    arrays = presenter_landmarks.of_boxes(boxes, videos.SIZE, 25)
    presenter_landmarks.write(tmp_path / "speaker0/clip0.landmarks.npz", arrays)
    found = video_scores.measure({"ours": video_sets.find(tmp_path)}, true, videos.TOOLS)
    scores = found.systems["ours"]["speaker0/clip0"]
    assert scores.joints is None and scores.hands.rate == 0 and POSE not in scores.features
    guessed = {**arrays, landmarks.GUESSES: np.array(True)}
    presenter_landmarks.write(tmp_path / "speaker0/clip0.landmarks.npz", guessed)
    again = video_scores.measure({"ours": video_sets.find(tmp_path)}, true, videos.TOOLS)
    assert again.systems["ours"]["speaker0/clip0"].hands is None
    assert any("hold no body" in text for text in found.problems)


def test_sound_of_the_true_clip_stands_in(tmp_path, true):
    found = measure_one(tmp_path, true, beats=False, sound=False)
    clip = found.systems["ours"]["speaker0/clip0"]
    np.testing.assert_allclose(clip.beats, np.round(videos.play(0).beats, 3))


def test_a_damaged_video_is_named_and_the_others_are_measured(tmp_path, true):
    videos.noisy_set(tmp_path, count=2)
    (tmp_path / "speaker0/clip0.mp4").write_bytes(b"nothing")
    (tmp_path / "speaker1/clip1.landmarks.npz").write_bytes(b"nothing")
    found = video_scores.measure({"ours": video_sets.find(tmp_path)}, true, videos.TOOLS)
    texts = " ".join(found.problems)
    assert "ours: speaker0/clip0" in texts and "ours: speaker1/clip1" in texts
    # Landmarks of a video that cannot be opened have no scale.
    broken = found.systems["ours"]["speaker0/clip0"]
    assert broken.distance is None and broken.joints is None and not broken.alignment
    assert found.systems["ours"]["speaker1/clip1"].regions["full"].means


def test_damaged_landmarks_of_the_true_clip_leave_the_whole_picture(tmp_path, noisy):
    reference = videos.true_set(tmp_path, count=1)
    (reference / "speaker0/clip0.landmarks.npz").write_bytes(b"nothing")
    found = video_scores.measure({"ours": noisy}, video_sets.find(reference), videos.TOOLS)
    regions = found.systems["ours"]["speaker0/clip0"].regions
    assert regions["full"].means[MODEL]["psnr"] > 20 and not regions["hand"].means
    assert any("reference: speaker0/clip0" in text for text in found.problems)


def test_a_short_system_leaves_the_others_alone(tmp_path, true, noisy):
    videos.write(tmp_path, "speaker0/clip0", videos.play(0), frames=videos.play(0).frames[:20])
    found = video_scores.measure(
        {"short": video_sets.find(tmp_path), "noisy": noisy}, true, videos.TOOLS
    )
    name = "speaker0/clip0"
    measured = video_scores.measure({"noisy": noisy}, true, videos.TOOLS)
    alone = measured.systems["noisy"][name].regions["full"].means[MODEL]
    assert found.systems["noisy"][name].regions["full"].means[MODEL] == alone
    assert any("short: speaker0/clip0" in text and "0.80 s" in text for text in found.problems)


@pytest.fixture
def one(tmp_path):
    """A generated clip whose landmarks file may be changed."""
    videos.write(tmp_path, "speaker0/clip0", videos.play(0))
    videos.write(tmp_path, "speaker1/clip1", videos.play(1, 1))
    return tmp_path


def changed(folder, true, change):
    """Scores of the clip with other landmarks, and what is said of it."""
    path = folder / "speaker0/clip0.landmarks.npz"
    arrays = dict(np.load(path))
    change(arrays)
    np.savez(path, **arrays)
    found = video_scores.measure({"ours": video_sets.find(folder)}, true, videos.TOOLS)
    other = found.systems["ours"]["speaker1/clip1"]
    assert other.distance.pixels < 0.01 and other.alignment  # never lost by its neighbour
    return found.systems["ours"]["speaker0/clip0"], " ".join(found.problems)


def cut(arrays, rows):
    arrays.update({name: a[:rows] for name, a in arrays.items() if a.ndim})


def test_landmarks_of_an_absurd_rate(one, true):
    clip, said = changed(one, true, lambda a: a.update(fps=np.array(1e-6)))
    assert clip.distance is None and clip.joints is None and clip.regions["full"].means
    assert "one number above 0 is expected, from 0.5 to 1000" in said


def test_landmarks_that_are_too_short(one, true):
    clip, said = changed(one, true, lambda a: cut(a, 5))
    assert clip.distance is None and clip.hands is None and POSE not in clip.features
    assert "its landmarks last 0.20 s, its video 3.00 s" in said
    assert "no landmark distance" in said


def test_landmarks_that_are_too_long(one, true):
    def longer(arrays):
        for name, array in arrays.items():
            if array.ndim:
                arrays[name] = np.concatenate([array, array[::-1], array])

    clip, said = changed(one, true, longer)
    assert "its landmarks last 9.00 s, its video 3.00 s" in said
    assert len(clip.joints) == 75 and clip.distance.pixels < 0.01
    assert clip.features[POSE].shape == (2, 27)


def test_landmarks_nowhere_near_the_picture(one, true, recwarn):
    def far(arrays):
        arrays["pose"][3, 15, 0], arrays["pose"][4, 15, 1] = np.inf, 1e30

    clip, said = changed(one, true, far)
    assert "2 joints lie nowhere near a picture" in said
    assert np.isfinite(clip.joints).all() and clip.distance.pixels < 0.01
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no beat of the speech within the clip"),
        ("90\n", "no beat of the speech within the clip"),
        ("-1\n", "no number of seconds from the beginning"),
    ],
)
def test_beats_that_are_none(one, true, text, message):
    (one / "speaker0/clip0.beats.txt").write_text(text)
    found = video_scores.measure({"ours": video_sets.find(one)}, true, videos.TOOLS)
    assert not found.systems["ours"]["speaker0/clip0"].alignment
    assert any("ours: speaker0/clip0: " in t and message in t for t in found.problems)


def test_what_a_clip_costs_is_lost_for_it_alone(one, true, monkeypatch):
    real = video_sets.points_of

    def hungry(pose, picture):
        if len(pose.points) == 75 and np.allclose(pose.points[0, 15], first):
            raise MemoryError
        return real(pose, picture)

    first = np.load(one / "speaker0/clip0.landmarks.npz")["pose"][0, 15]
    monkeypatch.setattr(video_sets, "points_of", hungry)
    found = video_scores.measure({"ours": video_sets.find(one)}, true, videos.TOOLS)
    assert any("MemoryError" in text for text in found.problems)
    assert found.systems["ours"]["speaker1/clip1"].alignment
    assert found.systems["ours"]["speaker0/clip0"].regions["full"].means


def test_landmarks_with_and_without_videos_have_other_scales(tmp_path, true):
    folder = videos.noisy_set(tmp_path, count=2)
    for path in folder.rglob("*.mp4"):
        path.unlink()
    found = video_scores.measure({"ours": video_sets.find(folder)}, true, videos.TOOLS)
    for clip in found.systems["ours"].values():
        assert clip.distance is None and not clip.alignment and POSE in clip.features
    assert any("scale" in text for text in found.problems)


def test_one_clip_and_sets_without_pairs(tmp_path, true):
    videos.write(tmp_path, "unknown", videos.play(7))
    found = video_scores.measure({"ours": video_sets.find(tmp_path)}, true, videos.TOOLS)
    summary = video_summary.summarise(found)
    assert found.pairs == {"ours": []}
    assert not summary.pictures["ours"] and not summary.landmarks["ours"]
    assert math.isnan(summary.sets["ours"]["fvd"].value)  # one window has no covariance
    assert summary.sets["ours"]["fgd"].value >= 0
    assert summary.alignment["ours"] and not summary.other["ours"]
    text = video_report.markdown(
        video_report.make(
            found,
            {},
            {
                "folders": {},
                "size": 1,
                "frames": 1,
                "fps": 25.0,
                "versions": {},
                "commit": None,
                "fvd_windows": 1,
            },
            [],
        )  # fmt: skip
    )
    assert "nan" not in text.replace("unknown", "")


def test_nothing_to_measure(tmp_path, true):
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(UserError, match="nothing could be measured"):
        broken = video_sets.find(tmp_path)
        video_scores.measure({"ours": broken}, broken, videos.TOOLS)
    assert REFERENCE not in broken and true
