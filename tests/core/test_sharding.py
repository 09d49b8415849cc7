import types

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jaxgesture.core import sharding
from jaxgesture.core.errors import UserError


def test_leaf_specs():
    spec = sharding.leaf_spec
    assert spec("kernel", (3, 3, 64, 64), 4) == P(None, None, None, "fsdp")
    assert spec("kernel", (1024, 64), 4) == P("fsdp")
    assert spec("kernel", (1027, 64), 4) == P(None, "fsdp")
    assert spec("bias", (64,), 4) == P()
    assert spec("odd", (1027, 3), 4) == P()
    assert spec("kernel", (1024, 64), 1) == P()
    rules = [("embed", P(None, "fsdp")), (".", P())]
    assert spec("net/embed/kernel", (1024, 64), 4, rules) == P(None, "fsdp")
    assert spec("net/kernel", (1024, 64), 4, rules) == P()


@pytest.mark.parametrize("shape", [(3, 1), (-1, 2), (0, 1), (-2, 1), (2, 2), (-1, 0)])
def test_a_mesh_that_does_not_divide_the_devices(shape):
    config = sharding.MeshConfig(*shape)
    with pytest.raises(UserError, match=r"do not divide 1 device"):
        sharding.make_mesh(config, jax.devices()[:1])


def test_one_device_batch():
    mesh = sharding.make_mesh(sharding.MeshConfig(), jax.devices()[:1])
    batch = sharding.put_batch({"x": np.arange(6.0).reshape(3, 2)}, mesh)
    np.testing.assert_array_equal(batch["x"], np.arange(6.0).reshape(3, 2))
    assert batch["x"].sharding == sharding.batch_sharding(mesh)


def test_a_batch_that_does_not_divide_names_the_key_and_the_multiple():
    mesh = types.SimpleNamespace(local_mesh=types.SimpleNamespace(size=4), size=8)
    real = sharding.batch_sharding
    sharding.batch_sharding = lambda mesh: None
    try:
        with pytest.raises(UserError, match=r"6 rows of 'x' .* data.batch_size a multiple of 8"):
            sharding.put_batch({"x": np.zeros((6, 2))}, mesh)  # pyright: ignore
    finally:
        sharding.batch_sharding = real
