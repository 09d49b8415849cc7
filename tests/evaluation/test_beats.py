import numpy as np
import pytest
import tolerances

from jaxgesture.evaluation import beats


@pytest.fixture(scope="module")
def drawn(shared):
    """The inputs of the golden arrays, in the order they are drawn in."""
    g = np.random.Generator(np.random.PCG64(8000))
    base = g.standard_normal((8, 1, 9, 3))
    steps = g.standard_normal((8, 34, 9, 3))
    onsets = np.sort(g.uniform(0, 2.2, (8, 5)), axis=1)
    amplitude, rate = g.uniform(0.01, 0.1, 165), g.uniform(0.3, 1.5, 165)
    phase = g.uniform(0, 2 * np.pi, 165)
    speed, sounds = g.uniform(0.2, 1.2, 55), np.sort(g.uniform(0, 6, 12))
    a, f, p = (g.uniform(*r, (24, 3)) for r in ((0.02, 0.2), (0.2, 0.8), (0, 2 * np.pi)))
    omega, music = g.uniform(2, 3), np.sort(g.integers(0, 299, 10))
    vectors = base + 0.0006 * np.cumsum(steps, axis=1)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    times = np.arange(300)[:, None] / 30
    body = (amplitude * np.sin(2 * np.pi * rate * times + phase)).reshape(300, 55, 3)
    k = np.arange(300)
    tau = np.cumsum(1 + 0.8 * np.sin(2 * np.pi * omega * k / 60)) / 60
    dance = a * np.sin(2 * np.pi * f * tau[:, None, None] + p)
    golden = np.load(shared / "parity/beat_metrics_seed0.npz")
    return vectors, onsets, body, speed, sounds, dance, music, golden


def close(found, golden):
    error = np.abs(np.asarray(found, np.float64) - golden).max()
    print(error)
    assert error <= tolerances.BEATS, error


@pytest.mark.parity
def test_ha2g(drawn):
    vectors, onsets, *_, golden = drawn
    changes = [beats.angle_change(sample) for sample in vectors]
    close(changes, golden["ha2g_angle_diff"])
    counts = [len(beats.ha2g_motion_beats(change)) for change in changes]
    np.testing.assert_array_equal(counts, golden["ha2g_motion_beat_counts"])
    scores = [beats.ha2g_bc(c, o) for c, o in zip(changes, onsets, strict=True)]
    close(np.nan_to_num([s.score for s in scores], nan=-1.0), golden["ha2g_bc_per_sample"])
    close(beats.ha2g_corpus_bc(scores), golden["ha2g_bc"])


@pytest.mark.parity
def test_emage(drawn):
    _, _, body, speed, sounds, *_, golden = drawn
    close(beats.emage_bc(body, sounds, speed, start=60, end=240), golden["emage_bc"])
    close(beats.emage_bc(body, sounds, speed), golden["emage_bc_full"])
    scaled = beats.speeds(body, 30) / speed
    parts = {"emage_beat_counts": {"start": 60, "end": 240}, "emage_beat_counts_full": {}}
    for name, part in parts.items():
        counts = [len(beats.emage_motion_beats(joint, **part)) for joint in scaled.T]
        np.testing.assert_array_equal(counts, golden[name])
    found = beats.emage_motion_beats(scaled[:, 16], start=60, end=240)
    np.testing.assert_array_equal(found, golden["emage_joint16_beats"])
    # The published code asks for the speed in another frame than the minimum's.
    right = beats.emage_bc(body, sounds, speed, start=60, end=240, upstream=False)
    assert abs(right - golden["emage_bc"]) > 1e-3


@pytest.mark.parity
def test_bailando(drawn):
    *_, dance, music, golden = drawn
    np.testing.assert_array_equal(music, golden["bailando_music_beats"])
    found = beats.bailando_motion_beats(dance)
    np.testing.assert_array_equal(found, golden["bailando_motion_beats"])
    close(beats.bailando_bas(dance, music), golden["bailando_bas"])


def test_alignment_by_hand():
    assert beats.alignment(np.array([1.0, 2.0]), np.array([1.0, 2.0, 5.0]), 0.1) == 1
    one = beats.alignment(np.array([1.0, 2.0]), np.array([1.1]), 0.1)
    assert one == pytest.approx((np.exp(-0.5) + np.exp(-40.5)) / 2)
    assert np.isnan(beats.alignment(np.zeros(0), np.array([1.0]), 0.1))
    assert np.isnan(beats.alignment(np.array([1.0]), np.zeros(0), 0.1))


def test_minima_by_hand():
    change = np.array([0.0, 1, 0.5, 1, 0.98, 1, 0.9, 0.95, 0.2, 0.2, 1])
    # Frame 4 is too shallow, 8 no strict minimum.
    np.testing.assert_allclose(beats.ha2g_motion_beats(change), np.array([2, 6]) / 15)
    assert len(beats.ha2g_motion_beats(change, threshold=0.02)) == 3
    speed = np.array([3.0, 2, 1, 2, 3, 2, 0.1, 2, 3])
    np.testing.assert_array_equal(beats.emage_motion_beats(speed, order=2), [2])
    # Frames after `start`; the published code then looks at frames 0 and 4, both fast.
    np.testing.assert_array_equal(beats.emage_motion_beats(speed, order=2, start=2), [4])
    found = beats.emage_motion_beats(speed, order=2, start=2, upstream=False)
    np.testing.assert_array_equal(found, [])


def test_motion_that_stops_on_the_beat_scores_more_than_late():
    fps, times = 60, np.arange(600) / 60
    speech = np.arange(0.5, 9.5, 1.0)
    # Turns, and so stands still, every half second; not between two frames, which would be a tie.
    place = np.stack([np.cos(2 * np.pi * (times - 0.003)), np.zeros(600)], axis=1)[:, None]
    late = place[int(0.25 * fps) :]
    on, off = (beats.bailando_bas(p, speech * fps) for p in (place, late))
    assert on > 0.9 > 0.1 > off
    still = np.zeros((600, 1, 2))
    assert np.isnan(beats.bailando_bas(still, speech * fps))
    assert beats.emage_bc(still, speech, np.ones(1), joints=[0], fps=fps) == 0
    assert np.isnan(beats.emage_bc(place, np.zeros(0), np.ones(1), joints=[0]))
    assert np.isnan(beats.ha2g_corpus_bc([beats.ha2g_bc(np.zeros(9), speech)]))


def test_angle_change_by_hand():
    turn = np.pi * np.array([0.25, 0.35, 0.35, 0.30])
    fixed = np.tile([1.0, 0.0], (4, 1))
    moving = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    vectors = np.stack([fixed, moving, fixed], axis=1)
    found = beats.angle_change(vectors, pairs=((0, 1), (0, 2)), mean_change=(0.05, 1.0))
    np.testing.assert_allclose(found, [0, 1, 0, 0.5], atol=1e-12)
    # As exact in float32 as the vectors are.
    single = vectors.astype(np.float32)
    both = (beats.angle_change(v, pairs=((1, 2),), mean_change=(1.0,)) for v in (
        single, single.astype(np.float64)
    ))  # fmt: skip
    np.testing.assert_array_equal(*both)


def test_a_corpus_is_weighed_by_beats_and_leaves_out_samples_without_motion():
    change = np.array([0.0, 1, 1, 0.5, 1, 1])
    one = beats.ha2g_bc(change, np.array([0.2, 0.3, 0.1]))
    assert one == (pytest.approx((1 + 2 * np.exp(-0.5)) / 3), 3)
    none = beats.ha2g_bc(np.ones(6), np.array([0.2, 0.3]))
    assert np.isnan(none.score) and none.beats == 2
    silent = beats.ha2g_bc(change, np.zeros(0))
    assert np.isnan(silent.score) and silent.beats == 0
    corpus = [one, none, silent, beats.Score(0.25, 1)]
    assert beats.ha2g_corpus_bc(corpus) == pytest.approx((3 * one.score + 0.25) / 4)
    assert np.isnan(beats.ha2g_corpus_bc([]))


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_clips_too_short_for_a_beat(frames):
    speech, positions = np.array([0.0]), np.zeros((frames, 2, 3))
    change = beats.angle_change(np.ones((frames, 9, 3)) / np.sqrt(3))
    assert change.shape == (frames,) and np.isnan(beats.ha2g_bc(change, speech).score)
    assert beats.emage_bc(positions, speech, np.ones(2), joints=[0, 1]) == 0
    assert np.isnan(beats.emage_bc(positions, speech, np.ones(2), joints=[]))
    assert np.isnan(beats.bailando_bas(positions, speech))
