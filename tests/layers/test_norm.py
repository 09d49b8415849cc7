import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgesture.layers.norm import BatchNorm, GroupNorm, group_count


def draw(*shape, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape) * 3 + 5
    return values.astype(np.float32)


@pytest.mark.parametrize(
    ("channels", "most", "groups"), [(12, 4, 4), (12, 5, 4), (16, 12, 8), (3, 8, 3), (7, 4, 1)]
)
def test_group_count_is_the_largest_divisor(channels, most, groups):
    assert group_count(channels, most) == groups


@pytest.mark.parametrize(("channels", "groups"), [(12, 4), (12, 5), (8, 8), (6, 1)])
def test_group_norm_formula(channels, groups):
    x = draw(3, 4, 5, channels)
    rng = np.random.default_rng(1)
    scale, bias = rng.standard_normal((2, channels)).astype(np.float32)
    params = {"scale": jnp.asarray(scale), "bias": jnp.asarray(bias)}
    ours = GroupNorm(groups).apply({"params": params}, jnp.asarray(x))
    count = group_count(channels, groups)
    y = x.astype(np.float64).reshape(3, 4, 5, count, channels // count)
    mean, variance = y.mean((1, 2, 4), keepdims=True), y.var((1, 2, 4), keepdims=True)
    expected = ((y - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape) * scale + bias
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_group_norm_starts_as_plain_and_works_in_float32():
    x = jnp.asarray(draw(1, 4, 4, 8))
    variables = GroupNorm(4).init(jax.random.key(0), x)
    assert np.all(np.asarray(variables["params"]["scale"]) == 1)
    assert np.all(np.asarray(variables["params"]["bias"]) == 0)
    # At an offset of 1000 a variance in bfloat16 would be nonsense.
    shifted = 1000 + (x - 5)
    low = GroupNorm(4, dtype=jnp.bfloat16).apply(variables, shifted)
    assert low.dtype == jnp.bfloat16
    np.testing.assert_allclose(low.astype(jnp.float32), GroupNorm(4).apply(variables, x), atol=0.03)


def test_batch_norm_in_training_and_its_running_statistics():
    x = draw(2, 3, 4, 5)
    norm = BatchNorm(momentum=0.7)
    variables = norm.init(jax.random.key(0), jnp.asarray(x), train=True)
    stats = variables["batch_stats"]
    # Making the variables counts no batch.
    assert np.all(np.asarray(stats["mean"]) == 0) and np.all(np.asarray(stats["var"]) == 1)
    scale, bias = np.arange(1, 6, dtype=np.float32), np.arange(5, dtype=np.float32)
    variables = {
        "params": {"scale": jnp.asarray(scale), "bias": jnp.asarray(bias)},
        "batch_stats": {"mean": jnp.full(5, 2.0), "var": jnp.full(5, 3.0)},
    }
    ours, updates = norm.apply(variables, jnp.asarray(x), train=True, mutable=["batch_stats"])
    y = x.astype(np.float64).reshape(-1, 5)
    mean, biased, unbiased = y.mean(0), y.var(0), y.var(0, ddof=1)
    expected = (x - mean) / np.sqrt(biased + 1e-5) * scale + bias
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    new = updates["batch_stats"]
    np.testing.assert_allclose(new["mean"], 0.7 * 2 + 0.3 * mean, rtol=1e-5)
    np.testing.assert_allclose(new["var"], 0.7 * 3 + 0.3 * unbiased, rtol=1e-5)
    # 24 pixels a channel: the biased one would be 4 % off.
    assert np.abs(np.asarray(new["var"]) - (0.7 * 3 + 0.3 * biased)).min() > 0.01


def test_batch_norm_in_inference_uses_the_running_statistics():
    x = draw(2, 3, 3, 2)
    variables = {
        "params": {"scale": jnp.array([2.0, 0.5]), "bias": jnp.array([1.0, -1.0])},
        "batch_stats": {"mean": jnp.array([4.0, 6.0]), "var": jnp.array([9.0, 0.25])},
    }
    ours = BatchNorm().apply(variables, jnp.asarray(x), train=False)
    expected = (x - [4, 6]) / np.sqrt(np.array([9, 0.25]) + 1e-5) * [2, 0.5] + [1, -1]
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_batch_norm_of_a_single_pixel_is_finite():
    x = jnp.full((1, 1, 1, 3), 2.0)
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), x, train=True)
    y, updates = norm.apply(variables, x, train=True, mutable=["batch_stats"])
    assert np.isfinite(np.asarray(y)).all()
    assert np.isfinite(np.asarray(updates["batch_stats"]["var"])).all()
