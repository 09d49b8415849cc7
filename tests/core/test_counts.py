"""Counts, bytes and norms of trees of arrays, and which keys a resumed run may change."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgesture.core import sharding, state, tree
from jaxgesture.core.errors import UserError
from jaxgesture.core.optim import OptimConfig, free_keys, grad_norms
from jaxgesture.core.stage import TrainConfig


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (999, "999"), (1000, "1.0 k"), (999_949, "999.9 k"), (999_950, "1.0 M"),
        (999_949_999, "999.9 M"), (10**9, "1.0 G"), (10**13, "10000.0 G"),
    ],
)  # fmt: skip
def test_counts_for_people(number, text):
    assert tree.format_count(number) == text


def test_counts_for_people_never_fall():
    factors = {"k": 1e3, "M": 1e6, "G": 1e9}
    values = []
    for number in np.unique(np.geomspace(1, 1e11, 4000).astype(int)):
        digits, _, unit = tree.format_count(int(number)).partition(" ")
        values.append(float(digits) * factors.get(unit, 1))
        assert values[-1] == pytest.approx(number, rel=0.051) and (unit == "G" or len(digits) <= 5)
    assert values == sorted(values)


def test_bytes_are_those_of_the_arrays_and_keys_are_none():
    shapes = {
        "a": jax.ShapeDtypeStruct((3, 4), jnp.bfloat16),
        "b": [np.zeros(5, np.int8), np.zeros((), np.float64), None],
        "key": jax.eval_shape(lambda: jax.random.key(0)),
        "empty": np.zeros((0, 7)),
    }
    assert tree.nbytes(shapes) == 24 + 5 + 8
    assert tree.nbytes({}) == 0 == tree.count({})


def test_names_of_leaves_of_any_container():
    found = tree.flatten({"a": [1, (2, 3)], "b": state.create_network({"w": 4}, optax.identity())})
    assert {"a/0", "a/1/0", "a/1/1", "b/params/w"} <= set(found)
    assert tree.flatten({"a": None, "b": {}}) == {} == tree.unflatten({})


def test_the_norm_of_a_gradient_and_of_its_parts():
    grads = {
        "layer_0": {"w": jnp.full(4, 2.0)}, "layer_12": {"w": jnp.array([3.0])},
        "head": {"b": jnp.array([5.0])}, "7": jnp.array([1.0]),
    }  # fmt: skip
    found = grad_norms(grads)
    assert {name: round(float(value) ** 2, 4) for name, value in found.items()} == {
        "grad_norm": 16 + 9 + 25 + 1, "grad_norm_layer": 25, "grad_norm_head": 25, "grad_norm_7": 1,
    }  # fmt: skip
    assert set(grad_norms({"a": jnp.zeros(2)}, "g")) == {"g", "g_a"}
    flat = optax.tree.norm(grads)
    np.testing.assert_allclose(found["grad_norm"], flat, rtol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "free"), [("constant", True), ("step", True), ("cosine", False)]
)
def test_the_length_is_free_where_no_rate_hangs_on_it(schedule, free):
    keys = free_keys(OptimConfig(schedule=schedule))
    assert ("train.steps" in keys) == free
    # What makes another training of it is never free.
    for key in ("optim.learning_rate", "optim.schedule", "train.seed", "data.batch_size", "model"):
        assert key not in keys


@pytest.mark.parametrize("steps", [{"steps": 0}, {"log_every": -1}, {"eval_every": -1}])
def test_lengths_that_are_none(steps):
    ((name, value),) = steps.items()
    with pytest.raises(UserError, match=f"train.{name}={value} "):
        TrainConfig(**steps)


@pytest.mark.parametrize("parts", [0, -2])
def test_a_batch_has_one_part_at_least(parts):
    with pytest.raises(UserError, match=rf"optim\.accumulate={parts} must be 1"):
        OptimConfig(accumulate=parts)


def moved(only, optimizer=None):
    """Which parts an update moves, of two that both would."""
    optimizer = optimizer or optax.adamw(0.1, weight_decay=0.5)
    network = state.create_network({"a": jnp.ones(2), "b": {"c": jnp.ones(1)}}, optimizer)
    grads = jax.tree.map(jnp.ones_like, network.params)
    new, norm = state.apply_gradients(network, grads, optimizer, only=only)
    changed = {
        name
        for name in ("a", "b")
        if not np.array_equal(*(jax.tree.leaves(n.params[name])[0] for n in (network, new)))
    }
    return changed, new, float(norm)


def test_only_the_parts_that_are_named_move():
    everything, advanced, whole = moved(None)
    assert everything == {"a", "b"}
    found, one, norm = moved(["a"])
    assert found == {"a"} and 0 < norm < whole
    assert moved([])[0] == set() and moved([])[2] == 0
    # The optimiser has seen all gradients alike.
    jax.tree.map(np.testing.assert_array_equal, one.opt_state, advanced.opt_state)
    with pytest.raises(ValueError, match="no part x, z in a, b"):
        moved(["a", "z", "x"])


def test_rows_that_are_none_name_the_batch_size():
    mesh = sharding.make_mesh(sharding.MeshConfig(), jax.devices()[:1])
    with pytest.raises(UserError, match="gives no rows of 'weight' a host"):
        sharding.put_batch({"weight": np.float32(1)}, mesh)  # pyright: ignore[reportArgumentType]


def test_a_target_of_a_restore_has_shapes_types_and_places():
    mesh = sharding.make_mesh(sharding.MeshConfig(), jax.devices()[:1])
    values = {"a": np.zeros((3, 2), np.float16), "b": {"c": np.zeros((), np.int32)}}
    target = sharding.with_shardings(values, sharding.state_shardings(values, mesh))
    found = {k: (v.shape, v.dtype, v.sharding) for k, v in tree.flatten(target).items()}
    whole = sharding.replicated(mesh)
    assert found == {"a": ((3, 2), np.float16, whole), "b/c": ((), np.int32, whole)}
