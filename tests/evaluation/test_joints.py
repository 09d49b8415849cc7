"""Joints at the edges of what can be measured: no arms, no beats, no motion, hardly a frame."""

import math

import numpy as np
import pytest
from evaluation import made_up

from jaxgesture.evaluation import gestures
from jaxgesture.evaluation.video_sets import ARMS

FPS = 25.0
BEATS = np.array([0.5, 1.4, 2.6, 3.1])
HANDS_ONLY = ("nose", *gestures.HANDS)


@pytest.fixture(scope="module")
def arms():
    return made_up.waving(0)


@pytest.fixture(scope="module")
def scale():
    return gestures.scale_of([made_up.waving(k) for k in range(3)], ARMS, FPS)


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
@pytest.mark.parametrize("to", [10.0, 15.0, 30.0, 60.0])
def test_a_short_clip_at_another_rate(frames, to):
    place = np.arange(float(frames))[:, None, None] * np.ones((1, 2, 2))
    found = gestures.resample(place, FPS, to)
    np.testing.assert_array_equal(found[0], place[0])
    # As many as fit between the first moment and the last, each where it belongs.
    assert len(found) == math.floor((frames - 1) * to / FPS + 1e-9) + 1
    np.testing.assert_allclose(found[:, 0, 0], np.arange(len(found)) * FPS / to, atol=1e-9)


def test_going_to_a_higher_rate_and_back_changes_nothing(arms):
    np.testing.assert_allclose(gestures.resample(gestures.resample(arms, FPS, 50), 50, FPS), arms)


def test_bones_are_unit_vectors_whatever_the_size_and_place_of_the_body(arms):
    found = gestures.arm_vectors(arms, ARMS)
    assert found is not None and found.shape == (len(arms), 6, 2)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1)
    np.testing.assert_allclose(gestures.arm_vectors(7 * arms - 3, ARMS), found, atol=1e-9)
    # By name: their order among the joints does not matter.
    order = np.random.default_rng(0).permutation(len(ARMS))
    names = [ARMS[k] for k in order]
    np.testing.assert_array_equal(gestures.arm_vectors(arms[:, order], names), found)
    assert gestures.arm_vectors(arms[:, 1:], ARMS[1:]) is None


def test_a_bone_without_length_is_no_division_by_zero(arms):
    folded = arms.copy()
    folded[:, ARMS.index("left_wrist")] = folded[:, ARMS.index("left_elbow")]
    with np.errstate(all="raise"):
        found = gestures.arm_vectors(folded, ARMS)
    assert found is not None and np.isfinite(found).all()


def test_without_arms_the_other_alignments_are_there(scale):
    place = made_up.waving(3)[:, :3]
    hands = gestures.scale_of([place], HANDS_ONLY, FPS)
    assert len(hands.angle) == 0 and hands.speed.shape == (3,)
    found = gestures.alignments(place, HANDS_ONLY, BEATS, FPS, hands)
    assert math.isnan(found["ha2g_bc"]) and found["emage_bc"] >= 0 and found["bailando_bas"] > 0


@pytest.mark.parametrize("beats", [[], [99.0], [4.0]])
def test_without_beats_within_the_clip_nothing_is_aligned(arms, scale, beats):
    found = gestures.alignments(arms, ARMS, np.array(beats), FPS, scale)
    assert set(found) == set(gestures.ALIGNMENTS) and all(map(math.isnan, found.values()))


def test_beats_after_the_end_do_not_count(arms, scale):
    late = np.concatenate([BEATS, [4.0, 50.0]])
    assert gestures.alignments(arms, ARMS, late, FPS, scale) == gestures.alignments(
        arms, ARMS, BEATS, FPS, scale
    )


@pytest.mark.parametrize("rounding", [0.0, 1e-14])
def test_motion_that_stands_still_scores_nothing(arms, scale, rounding):
    """Also where it was computed, and its frames differ in their last digits."""
    still = np.repeat(arms[:1], len(arms), 0)
    computed = still + rounding * np.random.default_rng(0).standard_normal(still.shape)
    found = gestures.alignments(computed, ARMS, BEATS, FPS, scale)
    assert found == dict.fromkeys(gestures.ALIGNMENTS, 0.0)
    profile = gestures.mean_profile([(arms, BEATS)], ARMS, FPS)
    assert gestures.beat_response(still, ARMS, BEATS, FPS, profile) == 0
    assert np.isnan(gestures.mean_profile([(still, BEATS)], ARMS, FPS)).all()


def test_alignment_knows_neither_place_nor_size(arms, scale):
    """What it divides by grows with the motion."""
    larger = gestures.Scale(scale.angle, 3 * scale.speed)
    moved = gestures.alignments(3 * arms + 1, ARMS, BEATS, FPS, larger)
    assert moved == pytest.approx(gestures.alignments(arms, ARMS, BEATS, FPS, scale))


def test_a_motion_responds_to_its_own_curve_and_half_as_much_to_one_twice_as_high(arms):
    curve = gestures.mean_profile([(arms, BEATS)], ARMS, FPS)
    assert gestures.beat_response(arms, ARMS, BEATS, FPS, curve) == pytest.approx(1)
    doubled = gestures.beat_response(arms, ARMS, BEATS, FPS, 1 + 2 * (curve - 1))
    assert doubled == pytest.approx(0.5)
    assert gestures.beat_response(arms, ARMS, BEATS, FPS, 2 - curve) == pytest.approx(-1)
    assert math.isnan(gestures.beat_response(arms, ARMS, BEATS, FPS, np.ones_like(curve)))
    assert math.isnan(gestures.beat_response(arms, ARMS, np.array([99.0]), FPS, curve))


def test_curves_count_alike_and_only_where_they_are_known():
    one, other = np.full((2, len(gestures.LAGS)), [[1.0], [3.0]])
    other[:5] = np.nan
    found = gestures.mean_curve([one, other])
    np.testing.assert_array_equal(found, [1.0] * 5 + [2.0] * (len(one) - 5))
    assert np.isnan(gestures.mean_curve([])).all()
    assert np.isnan(gestures.mean_curve([np.full_like(one, np.nan)])).all()


def test_clips_without_beats_do_not_thin_the_curve(arms):
    alone = gestures.mean_profile([(arms, BEATS)], ARMS, FPS)
    beside = gestures.mean_profile([(arms, BEATS), (made_up.waving(1), np.zeros(0))], ARMS, FPS)
    np.testing.assert_array_equal(alone, beside)


def test_hands_of_two_motions(arms):
    other = made_up.waving(1, seconds=3.0)
    assert gestures.hand_distance(arms, arms, ARMS) == 0
    there, back = (gestures.hand_distance(*p, ARMS) for p in ((arms, other), (other, arms)))
    assert there == back > 0
    assert there == gestures.hand_distance(arms[:75], other, ARMS)  # cut to the shorter
    # A body that is elsewhere with its hands alone.
    moved = arms.copy()
    moved[:, ARMS.index("left_elbow")] += 9
    assert gestures.hand_distance(arms, moved, ARMS) == 0


def test_jitter_sees_what_is_rough_and_not_what_is_fast():
    times = np.arange(100)[:, None, None] / FPS
    even = np.broadcast_to(5 * times + times**2, (100, 3, 2))
    assert gestures.jitter(even, HANDS_ONLY, FPS) == pytest.approx(0, abs=1e-6)
    rough = even + 0.01 * np.random.default_rng(0).standard_normal(even.shape)
    twice = even + 2 * (rough - even)
    found = gestures.jitter(rough, HANDS_ONLY, FPS)
    assert found > 1 and gestures.jitter(twice, HANDS_ONLY, FPS) == pytest.approx(2 * found)


@pytest.mark.parametrize("segment", [1, 160, 500])
def test_seams_that_there_are_not(segment):
    motion = np.cumsum(np.ones((160, 2)), axis=0)
    assert math.isnan(gestures.seam_jump(motion, segment))
    assert math.isnan(gestures.seam_jump(0 * motion, 40))


def test_speeds_correlate_with_themselves_where_a_second_is_seen(arms):
    for seen, known in ((25, True), (24, False)):
        true = arms.copy()
        true[seen:] = np.nan
        found = gestures.speed_correlation(arms, true, ARMS, FPS)
        # The speed of the last frame that is seen takes the first that is not.
        assert math.isnan(found) != (known and seen - 1 >= FPS)
    longer = gestures.speed_correlation(made_up.waving(0, seconds=5.0), arms, ARMS, FPS)
    assert longer > 0.99
