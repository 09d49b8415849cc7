import json
import os
import pathlib
import subprocess
import sys

import jax
import pytest
import tolerances

pytestmark = pytest.mark.multidevice


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What eight fake devices made of one training, in a process of its own."""
    done = subprocess.run(
        [
            sys.executable,
            str(pathlib.Path(__file__).with_name("convnet.py")),
            str(tmp_path_factory.mktemp("meshes")),
        ],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("mesh", ["dp8", "fsdp8", "2x4", "moved"])
def test_a_mesh_changes_nothing(results, mesh):
    assert results[mesh]["error"] < tolerances.MESHES


def test_the_state_is_split_over_fsdp(results):
    assert results["dp8"]["shard"] == [3, 3, 16, 64]
    assert results["fsdp8"]["shard"] == results["fsdp8"]["momentum"] == [3, 3, 16, 8]
    assert results["2x4"]["shard"] == results["2x4"]["momentum"] == [3, 3, 16, 16]


def test_networks_of_eight_devices_load_on_one(results):
    assert results["inference"]["devices"] == 1
    assert results["inference"]["error"] < tolerances.MESHES


def test_a_batch_that_does_not_divide(results):
    assert results["uneven"].startswith("UserError: data.batch_size gives 12 rows")
    assert "multiple of 8" in results["uneven"]
