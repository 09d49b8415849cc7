"""Motion selection against the published inference code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tolerances

from jaxgesture.motion.selection import angle_score, position_score, smooth_seam


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "parity" / "motion_selection_seed0.npz")


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.Generator(np.random.PCG64(10000))
    last = np.tanh(0.05 * np.cumsum(rng.standard_normal((80, 200)), 0))
    walk = np.cumsum(rng.standard_normal((5, 80, 200)), 1)
    a = np.clip(last[-1] + 0.02 * walk, -1, 1)[::-1].copy()
    b = a.copy()
    b[:, :5] = a[0, :5]
    return last, a, b


@pytest.mark.parity
def test_scores(golden, inputs):
    last, a, b = inputs
    np.testing.assert_array_equal(golden["last_row"], last[-1])
    np.testing.assert_array_equal(golden["candidate_a_rows"], a[:, 79, 0:200:8])
    with jax.enable_x64():
        for name, candidates in (("a", a), ("b", b)):
            candidates, previous = jnp.asarray(candidates), jnp.asarray(last)
            position = position_score(candidates, previous)
            angle = angle_score(candidates, previous, vector_size=2)
            total = np.asarray(position + angle)
            for key, value in (("position", position), ("angle", angle)):
                error = np.abs(np.asarray(value) - golden[f"{name}_{key}_score"]).max()
                assert error <= tolerances.MOTION_SELECTION
            assert np.abs(total - golden[f"{name}_total"]).max() <= tolerances.MOTION_SELECTION
            assert total.argmin() == golden[f"{name}_winner"]


@pytest.mark.parity
def test_smoothed_seam(golden, inputs):
    last, a, _ = inputs
    motion = np.concatenate((last, a[int(golden["a_winner"])]))
    smoothed = smooth_seam(motion, 80)
    error = np.abs(smoothed[70:90, ::4] - golden["seam_smoothed"]).max()
    assert error <= tolerances.MOTION_SELECTION
    np.testing.assert_array_equal(smoothed[:73], motion[:73])
    np.testing.assert_array_equal(smoothed[87:], motion[87:])
