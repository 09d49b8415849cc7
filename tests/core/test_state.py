import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgesture.core import state


def make(ema=False):
    params = {"w": jnp.array([1.0, 2.0])}
    return state.create_network(params, optax.sgd(0.5), ema=ema)


def test_apply_gradients_moves_parameters_and_reports_the_change():
    network, norm = state.apply_gradients(
        make(), {"w": jnp.array([2.0, 0.0])}, optax.sgd(0.5), stats={"mean": jnp.ones(1)}
    )
    np.testing.assert_allclose(network.params["w"], [0.0, 2.0])
    np.testing.assert_allclose(norm, 1.0)
    assert network.ema is None and "mean" in network.stats


def test_average_follows_with_its_decay_and_warm_up():
    grads = {"w": jnp.array([2.0, 2.0])}
    plain, _ = state.apply_gradients(make(True), grads, optax.sgd(0.5), ema_decay=0.9)
    np.testing.assert_allclose(plain.ema["w"], [0.9, 1.9], rtol=1e-6)
    assert plain.eval_params is plain.ema and make().eval_params.keys() == {"w"}
    warm, _ = state.apply_gradients(
        make(True), grads, optax.sgd(0.5), ema_decay=0.9, ema_warmup=True, step=jnp.array(0)
    )
    np.testing.assert_allclose(warm.ema["w"], [0.1, 1.1], rtol=1e-6)
    late, _ = state.apply_gradients(
        make(True), grads, optax.sgd(0.5), ema_decay=0.9, ema_warmup=True, step=jnp.array(1000)
    )
    np.testing.assert_allclose(late.ema["w"], [0.9, 1.9], rtol=1e-6)


def test_a_decay_without_average_is_refused():
    with pytest.raises(ValueError, match="ema_decay"):
        state.apply_gradients(make(), {"w": jnp.ones(2)}, optax.sgd(0.5), ema_decay=0.9)
    with pytest.raises(ValueError, match="ema_decay"):
        state.apply_gradients(make(True), {"w": jnp.ones(2)}, optax.sgd(0.5))
    with pytest.raises(ValueError, match="needs step"):
        state.apply_gradients(
            make(True), {"w": jnp.ones(2)}, optax.sgd(0.5), ema_decay=0.9, ema_warmup=True
        )


def test_abstract_computes_nothing():
    def init(key):
        jax.debug.callback(lambda: pytest.fail("ran"))
        return state.create_state(net=make())

    shapes = state.abstract(init, jax.random.key(0))
    assert shapes.networks["net"].params["w"].shape == (2,)
