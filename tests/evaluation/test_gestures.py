import dataclasses

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import presenter
from jaxgesture.evaluation import gestures, motion_report
from jaxgesture.evaluation.bootstrap import bootstrap
from jaxgesture.evaluation.probe import Probe

FPS = 25.0


def test_bootstrap_covers_the_mean():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        values = rng.normal(3.0, 1.0, 40)
        found = bootstrap(values, seed=seed)
        assert found.low < found.mean < found.high
        assert found.mean == pytest.approx(values.mean())
        # The theory's half width is 1.96 / sqrt(40).
        assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(40), rel=0.5)
        covered += found.low < 3.0 < found.high
    assert 0.91 < covered / 200 < 0.985
    few = [bootstrap(rng.normal(3.0, 1.0, 8), resamples=500) for _ in range(1000)]
    assert 0.92 < np.mean([found.low < 3.0 < found.high for found in few]) < 0.975
    assert bootstrap([1.0, np.nan, 3.0])[::3] == (2, 2)
    assert np.isnan(bootstrap([1.0]).low) and np.isnan(bootstrap([]).mean)
    with pytest.raises(UserError, match="level 1.5"):
        bootstrap([1, 2], level=1.5)


def test_probe_reads_what_is_linear():
    rng = np.random.default_rng(0)
    x, mix = rng.normal(size=(400, 12)), rng.normal(size=(12, 3))
    y = x @ mix + np.array([1.0, 2, 3])
    y[::7] = np.nan
    probe = Probe.fit(x[:300], y[:300], ridge=1e-8)
    np.testing.assert_allclose(probe(x)[1], (x @ mix + [1, 2, 3])[1], atol=1e-5)
    assert probe.r_squared(x[300:], y[300:]).min() > 0.9999
    noise = rng.normal(size=(100, 3))
    assert probe.r_squared(x[300:], noise).max() < 0.2
    with pytest.raises(UserError, match="0 frames"):
        Probe.fit(x, np.full_like(y, np.nan))


def test_hands_by_hand():
    joints = ("nose", "left_wrist", "right_wrist")
    place = np.zeros((50, 3, 2))
    place[:, 1, 0] = 0.02 * np.arange(50)  # half a frame a second, the other hand rests
    np.testing.assert_allclose(gestures.hand_speed(place, joints, FPS), 0.25)
    assert gestures.jitter(place, joints, FPS) == pytest.approx(0, abs=1e-9)
    assert gestures.hand_distance(place, place + 0.3, joints) == pytest.approx(0.3 * np.sqrt(2))
    speed = np.ones(100)
    speed[50] = 11.0
    # The second beat is seen at one lag only, the clip's last frame being at 3.96 s.
    curve = gestures.profile(speed, np.array([2.0, 3.9]), FPS, np.array([0.0, 0.04, 0.08, 5.0]))
    np.testing.assert_allclose(curve[:3] * speed.mean(), [(11 + 1) / 2, (1 + 1) / 2, 1])
    assert np.isnan(curve[3])
    motion = np.cumsum(np.ones((161, 2)), axis=0)
    assert gestures.seam_jump(motion, 80) == pytest.approx(1)
    motion[80:] += 3
    assert gestures.seam_jump(motion, 80) == pytest.approx((4 + 1) / 2)
    assert np.isnan(gestures.seam_jump(motion[:80], 80))


def test_another_frame_rate():
    place = np.arange(26.0)[:, None, None] * np.ones((1, 2, 2))
    for to in (15.0, 30.0, 60.0):
        out = gestures.resample(place, FPS, to)
        assert len(out) == to + 1
        np.testing.assert_allclose(out[:, 0, 0], np.arange(to + 1) * FPS / to)
    assert gestures.resample(place, FPS, FPS) is place


@pytest.fixture(scope="module")
def plays():
    return [presenter.perform(seed, 0, 12.0, 32, FPS) for seed in range(8)]


@pytest.fixture(scope="module")
def table(plays):
    joints = plays[0].joint_names
    exact = [play.joints.astype(np.float64) / 32 for play in plays]
    scale = gestures.scale_of(exact, joints, FPS)
    clips = [motion_report.Clip(e, p.beats) for e, p in zip(exact, plays, strict=True)]
    shape = exact[0].shape[1:]
    training = [presenter.perform(seed, 0, 12.0, 32, FPS) for seed in range(100, 108)]
    curve = gestures.mean_profile([(p.joints / 32, p.beats) for p in training], joints, FPS)
    corpus = motion_report.Corpus(clips, joints, FPS, scale, curve, lambda m: m.reshape(-1, *shape))
    motion = [e.reshape(len(e), -1) for e in exact]
    made = motion_report.Table(corpus, motion, 80)
    # Moved by 0.4 s, half the distance of two beats: the same motion, to no beat.
    shifted = [np.roll(m, 10, axis=0) for m in motion]
    rng = np.random.default_rng(0)
    rough = [m + rng.normal(0, 0.01, m.shape) for m in motion]
    made.add("late", [shifted, shifted], segment=80)
    made.add("rough", [motion, rough], shifted, segment=80)
    return made


def test_the_presenter_moves_to_its_beats_and_not_to_those_of_others(table):
    found = table.intervals()
    true, other = found["true motion"], found["true motion, other speech"]
    gains = table.gains("true motion")
    assert other["beat_response"].mean == pytest.approx(0, abs=0.1)
    assert 0.8 < true["beat_response"].mean < 1.2 and true["beat_response"].low > 0.5
    assert gains["speed_correlation"].low > 0.5
    # Its hands are fastest at the beats and stand still a tenth of a second later, so that what
    # is to measure stops at the beats finds fewer than at any other time.
    assert gains["bailando_bas"].high < 0
    assert true["speed_correlation"].mean == pytest.approx(1)
    assert true["jitter"].mean == pytest.approx(1)
    assert table.profiles["true motion"].max() > 1.3


def test_damage_is_seen(table):
    found = table.intervals()
    assert found["late"]["beat_response"].mean < 0.3
    assert found["late"]["speed_correlation"].mean < 0.3
    assert found["late"]["diversity"].mean == 0
    assert found["rough"]["jitter"].mean > 2 and found["rough"]["diversity"].mean > 0
    without = found["rough, without speech"]
    assert without["speed_correlation"] == found["late"]["speed_correlation"]


def test_what_is_written(table, tmp_path):
    import json

    text = motion_report.markdown(table, ["A caption."])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 2 + 2 + 3 + 3 and len({row.count("|") for row in rows}) == 1
    assert "- A caption." in text
    assert "| rough, own less other speech | " in text
    data = json.loads(motion_report.to_json(table, {"commit": None}))
    assert data["rows"]["late"]["jitter"]["mean"] > 0 and len(data["clips"]["late"]["jitter"]) == 8
    motion_report.picture(table, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_one_clip_has_no_other(table):
    corpus = table.corpus
    with pytest.raises(UserError, match="at least two clips"):
        motion_report.Table(dataclasses.replace(corpus, clips=corpus.clips[:1]), [], 80)


def test_beats_that_are_not_followed_have_no_response(table):
    corpus, rng = table.corpus, np.random.default_rng(0)
    clips = [
        dataclasses.replace(clip, beats=np.sort(rng.uniform(0, 12, len(clip.beats))))
        for clip in corpus.clips
    ]
    motion = [clip.exact.reshape(len(clip.exact), -1) for clip in clips]
    found = motion_report.Table(dataclasses.replace(corpus, clips=clips), motion, 80).intervals()
    response = found["true motion"]["beat_response"]
    assert response.low < 0 < response.high and response.mean < 0.4


def test_clips_without_beats_and_motion_that_stands_still(table):
    corpus = table.corpus
    clips = list(corpus.clips)
    clips[0] = dataclasses.replace(clips[0], beats=np.zeros(0))
    motion = [clip.exact.reshape(len(clip.exact), -1) for clip in clips]
    still = [np.broadcast_to(m[:1], m.shape) for m in motion]
    made = motion_report.Table(dataclasses.replace(corpus, clips=clips), motion, 80)
    made.add("still", [still, motion], segment=80)
    for label, row in made.intervals().items():
        assert row["bailando_bas"].n == row["ha2g_bc"].n == 7, label
        assert row["speed_correlation"].n == 8, label
    # One seed has no beats and scores 0, the other is the true motion.
    half, true = (made.rows[label]["bailando_bas"] for label in ("still", "true motion"))
    np.testing.assert_allclose(half[1:], np.array(true[1:]) / 2)
    text = motion_report.markdown(made, [])
    assert "nan" not in text and "inf" not in text


def test_joints_that_are_not_seen_are_left_out(plays):
    place, joints = plays[0].joints.astype(np.float64) / 32, plays[0].joint_names
    hidden = place.copy()
    hidden[40:200] = np.nan
    assert gestures.speed_correlation(place, hidden, joints, FPS) == pytest.approx(1)
    assert np.isnan(gestures.speed_correlation(place, np.nan * place, joints, FPS))


def test_a_probe_does_not_see_what_never_moved():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 8))
    y = x @ rng.normal(size=(8, 2))
    x = np.concatenate([x, 1e-7 * rng.normal(size=(400, 20))], axis=1)
    probe = Probe.fit(x, y)
    disturbed = x.copy()
    disturbed[:, 8:] += 1e-3 * rng.normal(size=(400, 20))
    assert np.abs(probe(disturbed) - probe(x)).max() < 0.05
