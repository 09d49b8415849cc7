"""Slow signals of the presenter: their times, bumps in them, and their smoothing."""

import numpy as np
import pytest

from jaxgesture.data.presenter import control
from jaxgesture.data.presenter.control import CONTROL_RATE


@pytest.mark.parametrize("seconds", [0.004, 1.0, 2.5])
def test_control_times_have_a_second_to_spare(seconds):
    times = control.control_times(seconds)
    assert times[0] == 0 and times[-1] >= seconds + 1 - 2 / CONTROL_RATE
    np.testing.assert_allclose(np.diff(times), 1 / CONTROL_RATE)


@pytest.mark.parametrize("sigma", [0.03, 0.1])
def test_impulses_are_bumps_of_their_weight_and_width(sigma):
    times, weights = np.array([1.0, 2.5]), np.array([0.7, -2.0])
    signal = control.impulses(times, weights, 4.0, sigma)
    grid = control.control_times(4.0)
    expected = sum(
        weight * np.exp(-0.5 * ((grid - time) / sigma) ** 2)
        for time, weight in zip(times, weights, strict=True)
    )
    np.testing.assert_allclose(signal, expected, atol=0.01)


def test_impulses_outside_are_left_out():
    assert not control.impulses(np.array([-1.0, 99.0]), np.ones(2), 2.0, 0.05).any()
    assert not control.impulses(np.zeros(0), np.zeros(0), 2.0, 0.05).any()


def test_smoothing_keeps_levels_and_columns_apart():
    signal = np.stack([np.full(400, 3.0), np.arange(400) > 200], axis=1).astype(float)
    soft = control.smooth(signal, 0.05)
    np.testing.assert_allclose(soft[:, 0], 3.0)
    assert soft[200, 1] == pytest.approx(0.5, abs=0.05) and (np.diff(soft[:, 1]) >= -1e-12).all()
    # The width is in seconds: 84 % at one deviation behind the step.
    assert soft[200 + round(0.05 * CONTROL_RATE), 1] == pytest.approx(0.84, abs=0.03)
