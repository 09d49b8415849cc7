import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.core.optim import OptimConfig, make_optimizer, make_schedule


def test_schedules_reach_their_values():
    step = make_schedule(
        OptimConfig(learning_rate=1.0, schedule="step", boundaries=(10, 20), decay_factor=0.1), 30
    )
    np.testing.assert_allclose([step(9), step(10), step(20)], [1.0, 0.1, 0.01], rtol=1e-6)
    cosine = make_schedule(
        OptimConfig(learning_rate=2.0, schedule="cosine", warmup_steps=10, final_fraction=0.1), 110
    )
    np.testing.assert_allclose(
        [cosine(0), cosine(5), cosine(10), cosine(60), cosine(110)],
        [0.0, 1.0, 2.0, 1.1, 0.2],
        rtol=1e-6,
    )
    shifted = make_schedule(
        OptimConfig(learning_rate=1.0, schedule="step", warmup_steps=4, boundaries=(10,)), 30
    )
    np.testing.assert_allclose([shifted(9), shifted(10)], [1.0, 0.1], rtol=1e-6)


def test_clipping_bounds_the_gradient():
    optimizer = make_optimizer(
        OptimConfig(name="sgd", b1=0.0, learning_rate=1.0, clip_norm=0.5), 10
    )
    x = jnp.zeros(4)
    updates, _ = optimizer.update(jnp.full(4, 100.0), optimizer.init(x), x)
    np.testing.assert_allclose(jnp.linalg.norm(updates), 0.5, rtol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw", "adan", "sgd"])
def test_each_optimiser_lowers_a_quadratic(name):
    config = OptimConfig(name=name, learning_rate=0.05, b1=0.1, b2=0.1 if name == "adan" else 0.99)
    optimizer = make_optimizer(config, 100)
    x = jnp.array([3.0, -2.0])
    state = optimizer.init(x)
    for _ in range(100):
        updates, state = optimizer.update(2 * x, state, x)
        x = optax.apply_updates(x, updates)
    assert float(jnp.abs(x).max()) < 0.5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (OptimConfig(name="adma"), "adam, adamw, adan, sgd"),
        (OptimConfig(schedule="cos"), "constant, cosine, step"),
        (OptimConfig(weight_decay=0.1), "optim.weight_decay"),
        (OptimConfig(schedule="cosine", warmup_steps=10), "optim.warmup_steps=10"),
        (OptimConfig(schedule="step", warmup_steps=10, boundaries=(5,)), "optim.boundaries"),
    ],
)
def test_mistakes_name_the_key(config, message):
    with pytest.raises(UserError, match=message):
        make_optimizer(config, 10)


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_rates_that_learn_nothing(rate):
    with pytest.raises(UserError, match="optim.learning_rate="):
        OptimConfig(learning_rate=rate)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ema_decay", 2.0, "optim.ema_decay=2.0 is no weight; choose 0 or more, below 1"),
        ("ema_decay", -0.1, "is no weight"),
        ("b1", 1.0, "optim.b1=1.0 is no weight"),
        ("b2", float("nan"), "is no weight"),
        ("warmup_steps", -5, "optim.warmup_steps=-5 must not be negative"),
    ],
)
def test_values_that_would_ruin_a_run(key, value, message):
    with pytest.raises(UserError, match=message):
        OptimConfig(**{key: value})


def test_weights_of_adan_are_those_of_the_newest_value():
    OptimConfig(name="adan", b1=1.0, b2=1.0, b3=1.0)
    for key in ("b1", "b2", "b3"):
        with pytest.raises(UserError, match=f"optim.{key}=0.0 is no weight; choose more than 0"):
            OptimConfig(name="adan", **{"b1": 0.1, "b2": 0.1, "b3": 0.1, key: 0.0})
