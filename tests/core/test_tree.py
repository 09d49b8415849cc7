import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgesture.core import rng, state, tree


def test_flatten_and_unflatten_are_inverse():
    nested = {"a": {"kernel": np.ones(2), "bias": np.zeros(1)}, "b": np.ones(3)}
    flat = tree.flatten(nested)
    assert list(flat) == ["a/bias", "a/kernel", "b"]
    assert jax.tree.structure(tree.unflatten(flat)) == jax.tree.structure(nested)


def test_leaves_of_a_state_have_readable_names():
    network = state.create_network({"w": jnp.ones(2)}, optax.adam(1.0), ema=True)
    names = tree.flatten(state.create_state(net=network))
    assert {"step", "networks/net/params/w", "networks/net/ema/w"} < set(names)
    assert "networks/net/opt_state/0/mu/w" in names


def test_unflatten_refuses_a_leaf_that_is_a_parent():
    with pytest.raises(ValueError, match="is a leaf"):
        tree.unflatten({"a": 1, "a/b": 2})
    with pytest.raises(ValueError, match="both a leaf and a parent"):
        tree.unflatten({"a/b": 2, "a": 1})


def test_counts():
    shapes = {"a": jax.ShapeDtypeStruct((3, 4), jnp.float32), "b": np.zeros(())}
    assert tree.count(shapes) == 13
    assert [tree.format_count(n) for n in (950, 12345, 93_610_000)] == ["950", "12.3 k", "93.6 M"]


def test_hash_of_names_and_values():
    leaves = {"b": {"c": np.ones((2, 3), np.float32)}, "a": np.asarray(3)}
    expected = hashlib.sha256(
        b"a" + (3).to_bytes(8, "little") + b"b/c" + np.ones(6, "<f4").tobytes()
    )
    assert tree.sha256(leaves) == expected.hexdigest()
    # The order of the dictionary and of the memory, or who holds the array, do not count.
    again = {"a": np.asarray(3), "b": {"c": jnp.ones((2, 3))}}
    assert tree.sha256(again) == tree.sha256(leaves)
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    turned, other = np.asfortranarray(kernel), np.ascontiguousarray(kernel.T).reshape(2, 3)
    assert tree.sha256({"a": turned}) == tree.sha256({"a": kernel}) != tree.sha256({"a": other})
    assert tree.sha256({"b": kernel}) != tree.sha256({"a": kernel})


def test_streams_differ_by_name_and_step_and_stay_the_same():
    key = jax.random.key(0)
    keys = [rng.stream(key, "a"), rng.stream(key, "b"), rng.step_key(key, 0), rng.step_key(key, 1)]
    data = {tuple(np.asarray(jax.random.key_data(k)).tolist()) for k in keys}
    assert len(data) == 4
    # The CRC is spelt out, because another one would change every published run.
    expected = jax.random.fold_in(key, 0xE8B7BE43)
    assert bool(jnp.all(jax.random.key_data(keys[0]) == jax.random.key_data(expected)))
