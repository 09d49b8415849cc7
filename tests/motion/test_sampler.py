import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.motion.sampler import (
    SAMPLERS,
    drawn_noise,
    given_noise,
    make_plan,
    sample,
    times,
)
from jaxgesture.motion.schedule import alphas_cumprod, q_sample, recover

SHAPE = (2, 6, 3)


def test_schedule_falls_from_one_to_nothing():
    abar = alphas_cumprod()
    assert abar.shape == (1000,) and abar.dtype == np.float32
    assert (np.diff(abar) < 0).all() and abar[0] > 0.9999 and 0 < abar[-1] < 1e-6


def test_forward_process_round_trip():
    rng = np.random.default_rng(0)
    x, noise = (jnp.asarray(rng.standard_normal(SHAPE), jnp.float32) for _ in range(2))
    t = jnp.array([5, 900])
    np.testing.assert_allclose(recover(q_sample(x, t, noise), t, noise), x, atol=1e-5)


def test_times():
    np.testing.assert_array_equal(times(50)[:3], [999, 979, 959])
    np.testing.assert_array_equal(times(50)[-2:], [19, -1])
    for steps in (1, 7, 1000):
        assert times(steps)[-1] == -1 and (np.diff(times(steps)) < 0).all()
    for steps in (0, 1001):
        with pytest.raises(UserError, match="1 to 1000"):
            times(steps)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_perfect_denoiser_returns_its_answer(sampler, steps):
    answer = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, SHAPE), jnp.float32)
    keys = jax.random.split(jax.random.key(0), 2)
    start = jax.random.normal(jax.random.key(1), SHAPE)
    plan = make_plan(sampler, steps)
    result = sample(lambda x, t: answer, start, plan, drawn_noise(keys, SHAPE[1:]))
    np.testing.assert_array_equal(result, answer)


def test_predictions_are_clipped():
    start = jnp.zeros(SHAPE)
    result = sample(
        lambda x, t: jnp.full_like(x, 3.0), start, make_plan(steps=3),
        given_noise(jnp.zeros((2, *SHAPE))),
    )  # fmt: skip
    np.testing.assert_array_equal(result, np.ones(SHAPE))


def gaussian(std, sampler, steps, eta, count):
    """Samples a normal variable of deviation `std` with its exact denoiser."""
    abar = jnp.asarray(alphas_cumprod())

    def predict(x, t):
        a = abar[t][:, None, None]
        return jnp.sqrt(a) * std**2 / (a * std**2 + 1 - a) * x

    start = jax.random.normal(jax.random.key(0), (1, 1, count))
    noise = drawn_noise(jax.random.split(jax.random.key(1), 1), (1, count))
    return start, sample(predict, start, make_plan(sampler, steps, eta), noise)


@pytest.mark.parametrize(
    "sampler,eta", [("ddim", 0.0), ("ddim", 0.5), ("ddim", 1.0), ("ddpm", 1.0), ("dpm++2m", 1.0)]
)
def test_samples_have_the_deviation_of_the_data(sampler, eta):
    samples = gaussian(0.2, sampler, 300, eta, 20000)[1]
    assert abs(float(samples.std()) / 0.2 - 1) < 0.05
    assert abs(float(samples.mean())) < 0.01


def test_orders_of_convergence():
    # Without noise a sample is its start times a constant, which is the deviation in the limit.
    def error(sampler, steps):
        start, result = gaussian(0.2, sampler, steps, 0.0 if sampler == "ddim" else 1.0, 8)
        return float(jnp.abs(result / start / 0.2 - 1).max())

    assert 1.7 < error("ddim", 20) / error("ddim", 40) < 2.3
    assert error("dpm++2m", 20) / error("dpm++2m", 40) > 3.5


def test_ddpm_has_the_mean_and_variance_of_the_posterior():
    # Ho et al. 2020, eq. 6 and 7, for every t -> t - 1 of the full schedule but the last.
    abar = alphas_cumprod().astype(np.float64)
    plan = make_plan("ddpm", 1000)
    t = plan.t[:-1]
    before, alpha = abar[t - 1], abar[t] / abar[t - 1]
    np.testing.assert_allclose(plan.x0[:-1], np.sqrt(before) * (1 - alpha) / (1 - abar[t]), 1e-4)
    np.testing.assert_allclose(plan.x[:-1], np.sqrt(alpha) * (1 - before) / (1 - abar[t]), 1e-4)
    variance = (1 - before) / (1 - abar[t]) * (1 - alpha)
    np.testing.assert_allclose(np.square(plan.noise[:-1]), variance, 1e-4)
    assert (plan.previous == 0).all()


def test_ddpm_is_ddim_with_all_its_noise():
    for a, b in zip(make_plan("ddpm", 25), make_plan("ddim", 25, eta=1.0), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (make_plan("ddim", 25, eta=0.0).noise == 0).all()


def test_dpm_solver_by_its_paper():
    """Lu et al. 2022, "DPM-Solver++", algorithm 2, with lower order at the first step."""
    steps, rng = 6, np.random.default_rng(0)
    answers = rng.uniform(-1, 1, (steps, *SHAPE))
    abar = alphas_cumprod().astype(np.float64)
    visited = times(steps)
    x = start = rng.standard_normal(SHAPE)
    levels = np.sqrt(abar[visited[:-1]]), np.sqrt(1 - abar[visited[:-1]])
    lambdas = np.log(levels[0] / levels[1])
    for i in range(steps - 1):
        h = lambdas[i + 1] - lambdas[i]
        guess = answers[i]
        if i:
            r = (lambdas[i] - lambdas[i - 1]) / h
            guess = (1 + 1 / (2 * r)) * answers[i] - 1 / (2 * r) * answers[i - 1]
        signal, sigma = (level[i + 1] for level in levels)
        x = sigma / levels[1][i] * x - signal * np.expm1(-h) * guess
    # The last network call is of the last x; its answer is the sample.
    seen = []

    def predict(x, t):
        seen.append(x)
        return jnp.asarray(answers[len(seen) - 1], jnp.float32)

    with jax.disable_jit():
        result = sample(predict, jnp.asarray(start, jnp.float32), make_plan("dpm++2m", steps),
                        given_noise(jnp.zeros((1, *SHAPE))))  # fmt: skip
    np.testing.assert_allclose(seen[-1], x, atol=1e-5)
    np.testing.assert_array_equal(result, np.float32(answers[-1]))


def test_noise_that_a_sampler_does_not_use_is_refused():
    for sampler in ("ddpm", "dpm++2m"):
        with pytest.raises(UserError, match=r"eta is 0\.5.* does not use; leave it out"):
            make_plan(sampler, 5, eta=0.5)


def test_unknown_sampler():
    with pytest.raises(UserError, match="ddim, ddpm"):
        make_plan("euler")
