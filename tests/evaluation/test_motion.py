import numpy as np
import pytest

from jaxgesture.evaluation.motion import correlation, own_and_other


def test_correlation():
    rng = np.random.default_rng(0)
    a, noise = rng.standard_normal((2, 300))
    assert correlation(a, 3 * a + 7) == pytest.approx(1)
    assert correlation(a, -a) == pytest.approx(-1)
    b = 0.3 * a + noise
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_correlation_cuts_to_the_shorter_and_does_without_variation():
    a = np.random.default_rng(0).standard_normal(50)
    assert correlation(a, a[:40]) == pytest.approx(1)
    assert correlation(a[:40], a) == pytest.approx(1)
    assert correlation(a, np.ones(50)) == 0
    assert correlation(np.ones(50), np.ones(50)) == 0


def test_own_and_other():
    signals = list(np.eye(3).repeat(4, axis=1))
    responses = [signals[0] + 2, 5 * signals[1], -signals[2]]
    own, other = own_and_other(responses, signals)
    assert own == pytest.approx(1 / 3)  # 1, 1, -1
    # Each of six pairs is -0.5, those of the last response +0.5.
    assert other == pytest.approx((4 * -0.5 + 2 * 0.5) / 6)


def test_own_and_other_needs_one_signal_a_response():
    with pytest.raises(ValueError):
        own_and_other([np.ones(3)], [np.ones(3), np.ones(3)])
