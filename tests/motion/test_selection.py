"""Motion selection by hand: which candidate goes on best, and the spline over a seam."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.motion import selection
from jaxgesture.motion.selection import FRAMES, SEAM, TAIL

LENGTH = 12


def _line(start, speed, frames=LENGTH):
    """Motion at a steady speed, one frame a row."""
    return np.asarray(start) + np.arange(frames)[:, None] * np.asarray(speed, np.float32)


def _candidates(*motions):
    return jnp.asarray(np.stack(motions), jnp.float32)


def _angles(candidates, previous, **how):
    how = {"vector_size": 2, **how}
    return np.asarray(selection.angle_score(candidates, jnp.asarray(previous, jnp.float32), **how))


def test_distance_is_summed_over_five_frames():
    previous = _line([0.0, 0.0], [0.0, 0.0])
    candidates = _candidates(_line([0, 0], [0, 0]), _line([1, -2], [0, 0]), _line([0, 0], [1, 0]))
    found = selection.position_score(candidates, jnp.asarray(previous, jnp.float32))
    np.testing.assert_allclose(found, [0, 5 * 3, 0 + 1 + 2 + 3 + 4])
    source = jnp.array([1.0, -2.0])
    found = selection.first_score(candidates, source)
    np.testing.assert_allclose(found, [15, 0, 1 + 0 + 1 + 2 + 3 + 5 * 2])


def test_only_the_frames_at_the_seam_count():
    rng = np.random.default_rng(0)
    candidates, previous = rng.normal(size=(3, LENGTH, 4)), rng.normal(size=(LENGTH, 4))
    changed, before = candidates.copy(), previous.copy()
    changed[:, FRAMES:], before[:-FRAMES] = 9, 9
    np.testing.assert_array_equal(
        selection.position_score(jnp.asarray(candidates), jnp.asarray(previous)),
        selection.position_score(jnp.asarray(changed), jnp.asarray(before)),
    )


@pytest.mark.parametrize("compare", selection.COMPARE)
@pytest.mark.parametrize("degrees", [0, 30, 90, 180, 270])
def test_angles_between_velocities(compare, degrees):
    turn = np.radians(degrees)
    previous = _line([3.0, 1.0], [0.2, 0.0])
    candidates = _candidates(_line([0, 0], [0.5 * np.cos(turn), 0.5 * np.sin(turn)]))
    found = _angles(candidates, previous, compare=compare)
    expected = np.radians(min(degrees, 360 - degrees))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_angles_of_several_vectors_are_averaged():
    previous = _line([0.0] * 6, [1, 0, 0, 0, 1, 0])
    candidate = _candidates(_line([0.0] * 6, [0, 1, 0, 0, 1, 0]))
    np.testing.assert_allclose(_angles(candidate, previous, vector_size=3), np.pi / 4, atol=1e-3)
    # Read as pairs: a quarter turn, nothing that moves, and the same.
    np.testing.assert_allclose(_angles(candidate, previous, vector_size=2), np.pi / 6, atol=1e-3)


@pytest.mark.parametrize("still", ["candidate", "previous", "both"])
def test_what_stands_still_has_no_direction(still):
    moving, standing = _line([0, 0], [1, 1]), _line([0, 0], [0, 0])
    candidate = moving if still == "previous" else standing
    previous = moving if still == "candidate" else standing
    assert _angles(_candidates(candidate), previous) == 0


def test_first_and_last_look_at_other_ends():
    turning = np.concatenate([_line([0, 0], [1, 0], TAIL), _line([5, 0], [0, 1], TAIL)])
    previous = _line([0, 0], [1, 0])
    first, last = (_angles(_candidates(turning), previous, compare=c) for c in ("first", "last"))
    assert first == pytest.approx(0, abs=1e-3) and last == pytest.approx(np.pi / 2, abs=1e-3)


def test_the_lowest_wins_and_the_first_of_equals():
    previous = _line([0.0, 0.0], [0.1, 0.0])
    jump, on = _line([9.0, 9.0], [0.1, 0.0]), _line([0.6, 0.0], [0.1, 0.0])
    source = jnp.array([9.4, 9.0])

    def chosen(*motions, first=False):
        return int(
            selection.select(
                _candidates(*motions), jnp.asarray(previous, jnp.float32), source,
                jnp.asarray(first), vector_size=2,
            )
        )  # fmt: skip

    assert chosen(jump, on, jump) == 1 and chosen(on, on) == 0
    # Where nothing goes before, what is nearest to the source image.
    assert chosen(on, jump, on, first=True) == 1


def test_other_comparisons_are_refused():
    with pytest.raises(UserError, match="selection is 'middle'; choose one of last, first"):
        _angles(_candidates(_line([0, 0], [1, 0])), _line([0, 0], [1, 0]), compare="middle")


def test_a_spline_leaves_a_cubic_as_it_is():
    frame = np.arange(40.0)[:, None]
    motion = np.concatenate([frame**3 - 40 * frame**2, 2 * frame, frame**0], axis=1)
    np.testing.assert_allclose(selection.smooth_seam(motion, 20), motion, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("seam", [8, 15, 32])
def test_a_jump_becomes_a_slope(seam):
    motion = np.zeros((40, 2))
    motion[seam:] = 1
    smooth = selection.smooth_seam(motion, seam)
    changed = np.flatnonzero((smooth != motion).any(axis=1))
    assert changed.min() >= seam - 5 and changed.max() < seam + 5
    assert np.abs(np.diff(smooth, axis=0)).max() < 0.2
    assert (motion[:seam] == 0).all(), "what is given is not changed"


@pytest.mark.parametrize(("length", "seam"), [(40, SEAM - 1), (40, 40 - SEAM + 1), (3, 1), (15, 8)])
def test_a_side_that_is_too_short_is_left_alone(length, seam):
    motion = np.random.default_rng(0).normal(size=(length, 3))
    np.testing.assert_array_equal(selection.smooth_seam(motion, seam), motion)
