import jax.numpy as jnp
import numpy as np

from jaxgesture.layers.rotary import frequencies, rotate


def test_frequencies_fall_from_one_geometrically():
    values = frequencies(8)
    np.testing.assert_allclose(values, [1, 0.1, 0.01, 0.001], rtol=1e-6)


def test_pairs_turn_by_position_times_frequency():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 3, 4)), jnp.float32)
    positions = np.array([-2, 0, 5])
    turned = np.asarray(rotate(x, positions))
    for row, position in enumerate(positions):
        for pair, frequency in enumerate((1.0, 0.01)):
            z = complex(*np.asarray(x)[0, row, 2 * pair : 2 * pair + 2])
            z *= np.exp(1j * position * frequency)
            np.testing.assert_allclose(
                turned[0, row, 2 * pair : 2 * pair + 2], [z.real, z.imag], atol=1e-6
            )


def test_products_depend_on_the_distance_alone():
    rng = np.random.default_rng(1)
    q, k = (jnp.asarray(rng.standard_normal((1, 1, 16)), jnp.float32) for _ in range(2))

    def product(i, j):
        return float((rotate(q, np.array([i])) * rotate(k, np.array([j]))).sum())

    assert abs(product(-4, 3) - product(10, 17)) < 1e-5
    assert abs(product(0, 3) - product(0, 9)) > 1e-2
