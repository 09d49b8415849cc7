"""Operations and memory of functions that can be counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from jaxgesture.planning.counting import count
from jaxgesture.planning.subjects import array


def test_a_product():
    found = count(lambda a, b: a @ b, array(8, 16), array(16, 32))
    assert found.flops == 2 * 8 * 16 * 32
    assert found.traffic == 4 * (8 * 16 + 16 * 32 + 8 * 32) and found.memory == 0


def test_a_convolution_and_its_gradient():
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    shapes = array(2, 8, 8, 3), array(3, 3, 3, 5)
    forward = 2 * (2 * 4 * 4 * 5) * (3 * 3 * 3)
    assert count(convolve, *shapes).flops == forward
    gradient = jax.grad(lambda x, k: convolve(x, k).sum(), argnums=1)
    # The gradient of the kernel needs the output's gradient alone, and as much work as the output;
    # both inputs twice as much.
    assert count(gradient, *shapes).flops == pytest.approx(2 * forward)


def test_loops_count_as_often_as_they_turn_and_branches_once():
    def loop(x):
        return jax.lax.scan(lambda c, _: (c @ c, None), x, length=7)[0]

    def branch(x):
        return jax.lax.cond(x[0, 0] > 0, lambda y: y @ y @ y, lambda y: y @ y, x)

    assert count(loop, array(4, 4)).flops == 7 * 2 * 4**3
    assert count(branch, array(4, 4)).flops == 2 * 2 * 4**3


def test_what_the_backward_pass_needs_is_alive_and_rematerialisation_lowers_it():
    def layers(x, kept):
        def layer(y):
            return jnp.sin(jnp.sin(jnp.sin(y)))

        chosen = layer if kept else jax.checkpoint(layer)
        for _ in range(8):
            x = chosen(x)
        return x.sum()

    def slope(kept):
        return count(jax.grad(lambda x: layers(x, kept)), array(1024)).memory / 4096

    # A sine keeps its cosine; rematerialised, a layer its input.
    assert 24 <= slope(True) <= 28
    assert 8 <= slope(False) <= 16


def test_keys_and_results_take_no_memory():
    found = count(lambda key: jax.random.split(key), jax.eval_shape(lambda: jax.random.key(0)))
    assert found.flops == 0 and found.memory < 200
