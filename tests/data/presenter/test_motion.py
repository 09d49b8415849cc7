"""How the presenter moves: ranges and invariants of the rule that its description promises."""

import dataclasses

import numpy as np
import pytest

from jaxgesture.data.presenter import motion as motions
from jaxgesture.data.presenter.motion import FOREARM, SHOULDER, UPPER_ARM, move
from jaxgesture.data.presenter.score import write_score

SECONDS, FPS = 20.0, 25
TIMES = np.arange(round(SECONDS * FPS)) / FPS


def _moved(seed, seconds=SECONDS, times=TIMES):
    return move(write_score(seed, seconds), seed, times)


@pytest.fixture(scope="module")
def moved():
    return {seed: _moved(seed) for seed in range(4)}


def _arrays(value):
    for field in dataclasses.fields(value):
        found = getattr(value, field.name)
        yield from _arrays(found) if dataclasses.is_dataclass(found) else [(field.name, found)]


def test_one_finite_row_a_frame(moved):
    for motion in moved.values():
        names = [name for name, array in _arrays(motion)]
        assert len(names) == 11 + 2 * 8
        for name, array in _arrays(motion):
            assert len(array) == len(TIMES) and np.isfinite(array).all(), name


def test_what_is_a_share_lies_between_nothing_and_all(moved):
    for motion in moved.values():
        hands = (motion.left, motion.right)
        for share in (motion.mouth, motion.loudness, motion.blink, *(h.curl for h in hands),
                      *(h.spread for h in hands)):  # fmt: skip
            assert share.min() >= 0 and share.max() <= 1
        assert all(np.abs(hand.turn).max() <= 1 for hand in hands)
        assert motion.brow.min() >= -1e-9 and motion.brow.max() <= 0.016 * 1.2 + 1e-9
        assert 0.7 < motion.mouth_width.min() and motion.mouth_width.max() < 1.1


def test_directions_are_units_across_each_other(moved):
    for motion in moved.values():
        for hand in (motion.left, motion.right):
            for vector in (hand.direction, hand.thumb_side):
                np.testing.assert_allclose(np.linalg.norm(vector, axis=1), 1)
            np.testing.assert_allclose((hand.direction * hand.thumb_side).sum(1), 0, atol=1e-12)


def test_breathing_and_sway_are_small(moved):
    for motion in moved.values():
        # Three sines of unit size, divided by 1.8: at most 5 / 3 of what is stated.
        assert np.abs(motion.torso[:, 0]).max() <= 0.006 * 5 / 3
        assert np.abs(motion.torso[:, 1]).max() <= 0.004
        assert np.ptp(motion.torso[:, 1]) > 0.006


def test_shoulders_hang_on_the_torso(moved):
    for motion in moved.values():
        for hand, side in ((motion.left, 1), (motion.right, -1)):
            rest = np.array([0.5 + side * SHOULDER[0], SHOULDER[1]])
            np.testing.assert_allclose(hand.shoulder - motion.torso, np.tile(rest, (len(TIMES), 1)))


@pytest.mark.parametrize("reach", [0.01, 0.3, UPPER_ARM + FOREARM, 5.0])
def test_arms_reach_what_they_can(reach):
    """Within reach the wrist is where it is asked for, else as near as a bent arm gets."""
    rng = np.random.default_rng(0)
    way = rng.normal(size=(50, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    pose = np.zeros((50, 11))
    pose[:, :3] = np.array([*SHOULDER, 0.0]) + reach * way
    arm = motions._solve_arm(pose, 1.0, np.zeros((50, 2)))
    upper = np.linalg.norm(arm.elbow - arm.shoulder, axis=1)
    fore = np.linalg.norm(arm.wrist - arm.elbow, axis=1)
    assert upper.max() <= UPPER_ARM + 1e-9 and fore.max() <= FOREARM + 1e-9
    bounded = np.clip(reach, UPPER_ARM - FOREARM + 0.02, 0.995 * (UPPER_ARM + FOREARM))
    np.testing.assert_allclose(arm.wrist - arm.shoulder, bounded * way[:, :2], atol=1e-9)


def test_the_other_arm_is_the_mirror_image():
    pose = np.tile(motions._REST, (3, 1))
    left, right = (motions._solve_arm(pose, side, np.zeros((3, 2))) for side in (1.0, -1.0))
    for name in ("shoulder", "elbow", "wrist"):
        mirrored = getattr(right, name) * (-1, 1) + (1, 0)
        np.testing.assert_allclose(getattr(left, name), mirrored, atol=1e-12)
    np.testing.assert_allclose(left.direction, right.direction * (-1, 1))


def test_minimum_jerk_rests_at_its_keys():
    keys, values = np.array([0.0, 1.0, 1.5]), np.array([[0.0], [2.0], [2.0]])
    at = motions._minimum_jerk(np.array([-5.0, 0.0, 0.5, 1.0, 1.2, 9.0]), keys, values)[:, 0]
    np.testing.assert_allclose(at, [0, 0, 1, 2, 2, 2])
    near = motions._minimum_jerk(np.array([0.01, 0.99]), keys, values)[:, 0]
    # Neither speed nor acceleration at the ends: ten cubes of the time.
    np.testing.assert_allclose(near, [2 * 10 * 0.01**3, 2 - 2 * 10 * 0.01**3], rtol=0.02)


@pytest.mark.parametrize("seed", range(8))
def test_hands_rest_in_long_pauses(seed):
    score = write_score(seed, 60.0)
    key = [motions._Stroke(5.0, 0.2, 0.1, np.zeros(11), np.ones(11), 0)]
    times, values = motions._key_frames(key, np.random.default_rng(seed))
    assert (np.diff(times) > 0).all() and len(times) == len(values)
    # After the only stroke the hand goes back to rest, but for a little.
    np.testing.assert_allclose(values[-1], motions._REST, atol=0.04)
    moved = move(score, seed, np.arange(1500) / 25)
    speeds = np.linalg.norm(np.diff(moved.left.wrist, axis=0), axis=1) * 25
    assert (speeds < 0.02).mean() > 0.05, "somewhere the hand rests"


def test_strokes_have_the_size_that_is_stated():
    rng = np.random.default_rng(0)
    for kind in motions._KINDS:
        made = [motions._stroke(kind, rng) for _ in range(200)]
        sizes = [np.linalg.norm((after - before)[:2]) for before, after in made]
        assert 0.13 < min(sizes) and max(sizes) < 0.35, kind
        assert all(np.isfinite(after).all() and after.shape == (11,) for _, after in made)


def test_motion_does_not_hang_on_the_frames_that_are_asked_for():
    every, few = _moved(5), _moved(5, times=TIMES[::7])
    for (name, one), (_, other) in zip(_arrays(every), _arrays(few), strict=True):
        np.testing.assert_allclose(one[::7], other, atol=1e-12, err_msg=name)


def test_another_seed_is_another_performance(moved):
    for name in ("mouth", "yaw", "blink"):
        a, b = (getattr(moved[seed], name) for seed in (0, 1))
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.5


def test_blinks_come_as_often_as_stated():
    motion = _moved(3, 120.0, np.arange(6000) / 50)
    closed = motion.blink > 0.5
    starts = np.flatnonzero(np.diff(closed.astype(int)) == 1)
    # Every 1.5 to 4.5 s, and besides at half of the phrases' ends.
    assert 120 / 4.5 < len(starts) < 120 / 1.5 + 0.5 * len(write_score(3, 120.0).phrase_spans)
    assert closed.mean() < 0.12
