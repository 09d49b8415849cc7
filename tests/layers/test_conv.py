import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from jaxgesture.layers.conv import DIMENSIONS, Conv, PReLU, conv2d, uniform_fan_in
from jaxgesture.layers.linear import Linear, mish


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def reference(x, kernel, stride, padding):
    """Sum over input channels of scipy's correlations of the padded map, then every stride-th."""
    b, h, w, c = x.shape
    k, _, _, o = kernel.shape
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    out = np.zeros((b, h + 2 * padding - k + 1, w + 2 * padding - k + 1, o))
    for n in range(b):
        for i in range(o):
            for j in range(c):
                out[n, :, :, i] += scipy.signal.correlate2d(
                    padded[n, :, :, j].astype(np.float64), kernel[:, :, j, i], mode="valid"
                )
    return out[:, ::stride, ::stride]


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (7, 1), (1, 2), (3, 2), (7, 2)])
@pytest.mark.parametrize("shape", [(2, 8, 7, 2)])
def test_conv2d_is_padded_correlation(shape, kernel, stride):
    x, weights = draw(*shape), draw(kernel, kernel, shape[-1], 4, seed=1)
    padding = kernel // 2
    ours = conv2d(jnp.asarray(x), jnp.asarray(weights), stride=stride, padding=padding)
    np.testing.assert_allclose(ours, reference(x, weights, stride, padding), atol=1e-4)


@pytest.mark.parametrize(
    ("h", "w", "kernel"), [(1, 1, 3), (2, 2, 3), (1, 4, 3), (3, 1, 3), (2, 2, 5)]
)
def test_tiny_maps_are_the_native_convolution(h, w, kernel):
    x, weights = jnp.asarray(draw(3, h, w, 5)), jnp.asarray(draw(kernel, kernel, 5, 6, seed=1))
    padding = kernel // 2
    towards = jnp.asarray(draw(3, h, w, 6, seed=2))

    def ours(x, weights):
        return conv2d(x, weights, padding=padding)

    def native(x, weights):
        pads = ((padding, padding), (padding, padding))
        return jax.lax.conv_general_dilated(x, weights, (1, 1), pads, dimension_numbers=DIMENSIONS)

    text = str(jax.make_jaxpr(ours)(x, weights))
    assert "dot_general" in text and "conv_general" not in text
    assert "conv_general" in str(jax.make_jaxpr(ours)(jnp.ones((1, 1, 5, 5)), weights))

    @functools.partial(jax.jit, static_argnums=0)
    def both_ways(function, x, weights):
        values, back = jax.vjp(function, x, weights)
        return values, *back(towards)

    for got, wanted in zip(both_ways(ours, x, weights), both_ways(native, x, weights), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_module_adds_its_bias_and_keeps_float32_parameters():
    x = jnp.asarray(draw(2, 6, 6, 3))
    variables = Conv(4, 3, 2).init(jax.random.key(0), x)
    kernel, bias = (np.asarray(variables["params"][name]) for name in ("kernel", "bias"))
    expected = reference(np.asarray(x), kernel, 2, 1) + bias[None, None, None]
    np.testing.assert_allclose(Conv(4, 3, 2).apply(variables, x), expected, atol=1e-5)
    low = Conv(4, 3, 2, dtype=jnp.bfloat16)
    assert low.apply(variables, x).dtype == jnp.bfloat16
    parameters = low.init(jax.random.key(0), x)["params"]
    assert {leaf.dtype for leaf in jax.tree.leaves(parameters)} == {jnp.dtype(jnp.float32)}


def test_initial_values_are_uniform_by_fan_in():
    values = np.asarray(uniform_fan_in(16, 2.0)(jax.random.key(0), (4000,)))
    assert np.abs(values).max() <= 0.5 and np.abs(values).max() > 0.499
    np.testing.assert_allclose(values.std(), 1 / np.sqrt(12), rtol=0.03)
    x = jnp.zeros((1, 4, 4, 8))
    plain, strong = (
        Conv(512, 3, gain=gain).init(jax.random.key(1), x)["params"] for gain in (1.0, 4.0)
    )
    bound = 1 / np.sqrt(9 * 8)
    assert 0.99 * bound < np.abs(plain["kernel"]).max() <= bound
    np.testing.assert_allclose(strong["kernel"], 4 * plain["kernel"], rtol=1e-6)
    np.testing.assert_array_equal(strong["bias"], plain["bias"])
    assert np.abs(plain["bias"]).max() > 0.9 * bound


def test_prelu_has_a_slope_per_channel():
    x = jnp.asarray(draw(2, 3, 3, 4))
    assert (
        np.asarray(PReLU(0.3).init(jax.random.key(0), x)["params"]["scale"]).tolist()
        == [pytest.approx(0.3)] * 4
    )
    slopes = jnp.array([0.0, 0.5, -1.0, 2.0])
    ours = PReLU().apply({"params": {"scale": slopes}}, x)
    expected = np.where(np.asarray(x) >= 0, x, np.asarray(x) * np.asarray(slopes)[None, None, None])
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_linear_and_mish():
    x = jnp.asarray(draw(2, 5, 3))
    variables = Linear(4).init(jax.random.key(0), x)
    kernel, bias = (np.asarray(variables["params"][name]) for name in ("kernel", "bias"))
    expected = np.asarray(x) @ kernel + bias[None, None]
    np.testing.assert_allclose(Linear(4).apply(variables, x), expected, atol=1e-6)
    values = np.linspace(-20, 20, 101)
    expected = values * np.tanh(np.log1p(np.exp(values)))
    np.testing.assert_allclose(mish(jnp.asarray(values, jnp.float32)), expected, atol=1e-5)
