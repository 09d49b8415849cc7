"""Units of the denoiser: cut where they are standardised, untouched where they are not."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.motion import normalisation
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.guidance import double, guided
from jaxgesture.motion.normalisation import AUDIO_FLOOR, AUDIO_LIMIT, MOTION_FLOOR

CONFIG = MotionConfig(feature_size=12, audio_size=3, standardise=True)
AUDIO = {"audio_mean": np.array([1.0, -2.0, 0.0]), "audio_std": np.array([2.0, 0.5, 0.0])}
MOTION = {"motion_mean": np.arange(12.0), "motion_std": np.full(12, 0.5)}


def test_published_models_see_what_they_are_given():
    statistics = normalisation.identity_statistics(CONFIG)
    assert set(statistics) == set(normalisation.NAMES)
    assert all(value.dtype == np.float32 for value in statistics.values())
    huge = jnp.array([[1e6, -1e6, 3.0]])
    np.testing.assert_array_equal(normalisation.normalise_audio(statistics, huge), huge)
    motion = jnp.full((2, 5, 12), -77.0)
    np.testing.assert_array_equal(normalisation.normalise_motion(statistics, motion), motion)
    np.testing.assert_array_equal(normalisation.restore_motion(statistics, motion), motion)


def test_audio_is_standardised_and_cut_at_ten_deviations():
    statistics = normalisation.make_statistics(CONFIG, **AUDIO, **MOTION)
    rows = jnp.array([[1.0, -2.0, 0.0], [3.0, -3.0, 0.0], [99.0, -99.0, 5.0]])
    found = normalisation.normalise_audio(statistics, rows)
    np.testing.assert_allclose(found[:2], [[0, 0, 0], [1, -2, 0]], atol=1e-6)
    # A column that never moved in training does not explode later.
    np.testing.assert_allclose(found[2], [AUDIO_LIMIT, -AUDIO_LIMIT, AUDIO_LIMIT])
    assert statistics["audio_std"][2] == np.float32(AUDIO_FLOOR)


@pytest.mark.parametrize("deviations", [1.4, 3.0])
def test_motion_fills_its_range_at_the_stated_deviations(deviations):
    config = MotionConfig(
        feature_size=12, audio_size=3, standardise=True, standard_deviations=deviations
    )
    statistics = normalisation.make_statistics(config, **AUDIO, **MOTION)
    for away, expected in ((0, 0), (0.5, 0.5), (-1, -1), (1.7, 1), (-9, -1)):
        motion = jnp.asarray(MOTION["motion_mean"] + away * deviations * 0.5)
        np.testing.assert_allclose(
            normalisation.normalise_motion(statistics, motion), expected, atol=1e-5
        )


def test_numbers_that_hardly_move_are_not_blown_up():
    std = np.array([1e-9] * 11 + [1.0])
    given = {**MOTION, "motion_std": std}
    scale = normalisation.make_statistics(CONFIG, **AUDIO, **given)["motion_scale"]
    floor = MOTION_FLOOR * np.sqrt(np.mean(std**2)) * CONFIG.standard_deviations
    np.testing.assert_allclose(scale, [floor] * 11 + [CONFIG.standard_deviations], rtol=1e-5)
    nothing = {**MOTION, "motion_std": np.zeros(12)}
    assert (normalisation.make_statistics(CONFIG, **AUDIO, **nothing)["motion_scale"] > 0).all()


def test_without_standardising_motion_moments_do_not_matter():
    plain = MotionConfig(feature_size=12, audio_size=3)
    found = normalisation.make_statistics(plain, **AUDIO, **MOTION)
    assert not found["motion_mean"].any() and (found["motion_scale"] == 1).all()
    np.testing.assert_array_equal(found["audio_mean"], AUDIO["audio_mean"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"motion_mean": None}, "needs the training split's motion statistics; run `jaxgesture ex"),
        ({"motion_std": None}, "or set it to False"),
        ({"motion_mean": np.zeros(11)}, "motion_mean has 11 entries, the model 12; set"),
        ({"motion_std": np.ones(13)}, "motion_scale has 13 entries"),
        ({"audio_std": np.ones(35)}, "audio_std has 35 entries, the model 3"),
    ],
)
def test_moments_that_do_not_fit(change, message):
    with pytest.raises(UserError, match=message):
        normalisation.make_statistics(CONFIG, **{**AUDIO, **MOTION, **change})


def test_any_number_of_axes():
    statistics = normalisation.make_statistics(CONFIG, **AUDIO, **MOTION)
    rng = np.random.default_rng(0)
    rows = jnp.asarray(rng.normal(size=(2, 3, 4, 12)), jnp.float32)
    flat = normalisation.normalise_motion(statistics, rows.reshape(-1, 12))
    found = normalisation.normalise_motion(statistics, rows)
    np.testing.assert_array_equal(found.reshape(-1, 12), flat)
    restored = normalisation.restore_motion(statistics, found)
    mean = MOTION["motion_mean"]
    np.testing.assert_allclose(restored, np.clip(rows, mean - 1.5, mean + 1.5), atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 3.0])
def test_guidance_goes_from_one_branch_through_the_other(weight):
    """The network's halves: with audio 5, without it 2; and each row is told apart."""
    x, t = jnp.arange(6.0).reshape(2, 3, 1), jnp.array([7, 9])

    def predict(x_t, steps, keep):
        assert x_t.shape == (4, 3, 1) and keep.tolist() == [True, True, False, False]
        np.testing.assert_array_equal(steps, [7, 9, 7, 9])
        return x_t + jnp.where(keep, 5.0, 2.0)[:, None, None]

    np.testing.assert_allclose(guided(predict, x, t, weight), x + 2 + 3 * weight, rtol=1e-6)


def test_doubling_keeps_the_tree():
    found = double({"a": jnp.ones((2, 3)), "b": (jnp.arange(2),)})
    assert found["a"].shape == (4, 3) and found["b"][0].tolist() == [0, 1, 0, 1]
