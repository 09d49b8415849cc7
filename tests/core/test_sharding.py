import types

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jaxgesture.core import accelerators, sharding
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


@pytest.mark.parametrize(
    ("shape", "devices", "state", "memory", "fsdp"),
    [
        ((-1, -1), 8, 2**30, None, 1),  # a CPU: nothing is known
        ((-1, -1), 8, 2**30, 16 * 2**30, 1),
        ((-1, -1), 8, 2**33, 16 * 2**30, 2),
        ((-1, -1), 12, 13 * 2**30, 16 * 2**30, 4),  # 3 is not enough
        ((-1, -1), 6, 2**40, 2**30, 6),  # nothing is: the most
        ((-1, 1), 8, 2**40, 2**30, 1),  # what is given stays
        ((4, -1), 8, 2**20, 2**30, -1),
    ],
)
def test_the_automatic_mesh_hangs_on_devices_and_memory(shape, devices, state, memory, fsdp):
    found = sharding.automatic(sharding.MeshConfig(*shape), devices, state, memory)
    assert found == sharding.MeshConfig(shape[0], fsdp)


def test_peaks_are_found_by_the_name_of_a_device():
    kinds = {"TPU v5 lite": 197, "TPU v5p": 459, "TPU v6 lite": 918, "NVIDIA H100 80GB HBM3": 989}
    for kind, teraflops in kinds.items():
        found = accelerators.find(kind)
        assert found is not None and found.teraflops == teraflops
    assert accelerators.find("cpu") is None and accelerators.find("NVIDIA L400") is None
    assert getattr(accelerators.find("NVIDIA L40"), "memory", 0) == 48 * 10**9
    assert accelerators.memory(jax.devices()[0]) is None
    described = types.SimpleNamespace(device_kind="NVIDIA H200", memory_stats=lambda: None)
    assert accelerators.memory(described) == 141 * 10**9
