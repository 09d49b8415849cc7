import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tolerances

from jaxgesture.core import adan, optim

SETTINGS = {"b1": 0.02, "b2": 0.08, "b3": 0.01, "eps": 1e-8, "weight_decay": 0.02}


def trajectory(golden, rate, kind, optimizer=None):
    optimizer = optimizer or adan.adan(rate, **SETTINGS)
    x = jnp.asarray(golden["x0"])
    state = optimizer.init(x)
    out = []
    for step in range(6):
        if kind == "fixed":
            grads = jnp.asarray(golden["fixed_grads"][step])
        else:
            grads = golden["H"] * x - golden["b"]
        updates, state = optimizer.update(grads, state, x)
        x = optax.apply_updates(x, updates)
        out.append(x)
    return np.stack(out), state


@pytest.fixture(scope="module")
def golden(shared):
    return dict(np.load(shared / "parity" / "adan_seed0.npz"))


@pytest.mark.parity
@pytest.mark.parametrize("rate", ["0.0001", "0.01"])
@pytest.mark.parametrize("kind", ["fixed", "quadratic"])
def test_adan_follows_the_reference(golden, rate, kind):
    xs, state = trajectory(golden, float(rate), kind)
    np.testing.assert_allclose(
        xs, golden[f"{kind}_lr{rate}"], rtol=0, atol=tolerances.ADAN_PARAMETERS
    )
    np.testing.assert_allclose(
        xs, golden[f"{kind}_lr{rate}_f64"], rtol=0, atol=tolerances.ADAN_PARAMETERS
    )
    if (kind, rate) == ("quadratic", "0.01"):
        for name, value in (("m", state.m), ("v", state.v), ("n", state.n)):
            np.testing.assert_allclose(
                value, golden[f"quadratic_lr0.01_{name}"], rtol=0, atol=tolerances.ADAN_MOMENTS
            )
        np.testing.assert_allclose(
            state.previous,
            golden["quadratic_lr0.01_prev_grad"],
            rtol=0,
            atol=tolerances.ADAN_PARAMETERS,
        )


@pytest.mark.parity
def test_adan_through_the_config_is_the_same(golden):
    config = optim.OptimConfig(
        name="adan", learning_rate=0.01, b1=0.02, b2=0.08, b3=0.01, weight_decay=0.02
    )
    direct, _ = trajectory(golden, 0.01, "fixed")
    made, _ = trajectory(golden, 0.01, "fixed", optim.make_optimizer(config, 6))
    np.testing.assert_array_equal(direct, made)


def test_first_step_only_decays():
    optimizer = adan.adan(0.1, weight_decay=0.5)
    x = {"a": jnp.array([2.0, -4.0])}
    updates, state = optimizer.update({"a": jnp.ones(2)}, optimizer.init(x), x)
    np.testing.assert_allclose(x["a"] + updates["a"], x["a"] / 1.05, rtol=1e-6)
    assert not np.any(state.m["a"]) and not np.any(state.n["a"])
    np.testing.assert_array_equal(state.previous["a"], 1.0)


def test_nested_tuples_of_parameters_keep_their_structure():
    optimizer = adan.adan(0.1)
    x = {"a": (jnp.ones(2), jnp.ones(3), jnp.ones(4)), "b": [jnp.ones(())]}
    updates, state = optimizer.update(x, optimizer.init(x), x)
    assert jax.tree.structure(updates) == jax.tree.structure(x) == jax.tree.structure(state.v)


def test_schedule_is_read_at_the_steps_done():
    grads, x = jnp.ones(1), jnp.zeros(1)
    optimizer = adan.adan(lambda count: jnp.where(count < 2, 0.0, 1.0))
    state, moved = optimizer.init(x), []
    for _ in range(4):
        updates, state = optimizer.update(grads, state, x)
        moved.append(bool(jnp.any(updates != 0)))
    assert moved == [False, False, True, True]


def test_adan_without_parameters_says_so():
    optimizer = adan.adan(0.1)
    with pytest.raises(ValueError, match="needs the parameters"):
        optimizer.update(jnp.ones(1), optimizer.init(jnp.ones(1)))
