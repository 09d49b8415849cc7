import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgesture.core import accumulate
from jaxgesture.core.errors import UserError


def test_rows_are_dealt_out_and_put_back():
    rows = jnp.arange(24).reshape(12, 2)
    parts = accumulate.split(rows, 3)
    np.testing.assert_array_equal(parts[1, :, 0] // 2, [1, 4, 7, 10])
    np.testing.assert_array_equal(accumulate.joined(parts), rows)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_gradients_in_parts(parts):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 3)), rng.standard_normal(8)

    def objective(params, rows, seen, part):
        error = rows["x"] @ params["w"] - rows["y"]
        loss = (error**2).mean()
        return loss, ({"loss": loss}, {"error": error}, (seen[0] + 1, seen[1] + part))

    weights = {"w": jnp.array([1.0, -2.0, 0.5])}
    rows = {"x": jnp.asarray(x, jnp.float32), "y": jnp.asarray(y, jnp.float32)}
    start = (jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
    loss, grads, means, each, (count, total) = jax.jit(
        lambda *a: accumulate.gradients(objective, *a, parts)
    )(weights, rows, start)
    error = x @ np.array([1.0, -2.0, 0.5]) - y
    np.testing.assert_allclose(loss, (error**2).mean(), rtol=1e-5)
    np.testing.assert_allclose(means["loss"], loss, rtol=1e-6)
    np.testing.assert_allclose(grads["w"], 2 * error @ x / 8, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(each["error"], error, rtol=1e-4, atol=1e-6)  # in their order
    assert (int(count), int(total)) == (parts, parts * (parts - 1) // 2)


def test_a_batch_that_does_not_divide():
    with pytest.raises(UserError, match=r"optim.accumulate=3 does not divide the batch of 8"):
        accumulate.split(jnp.zeros((8, 2)), 3)
