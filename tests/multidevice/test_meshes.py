import pytest
import tolerances
from multidevice import launch

pytestmark = pytest.mark.multidevice


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What eight fake devices made of one training, in a process of its own."""
    return launch.run(launch.script("convnet.py", tmp_path_factory.mktemp("meshes")))


@pytest.mark.parametrize("mesh", ["dp8", "fsdp8", "2x4", "moved"])
def test_a_mesh_changes_nothing(results, mesh):
    assert results[mesh]["error"] < tolerances.MESHES


def test_the_state_is_split_over_fsdp(results):
    assert results["dp8"]["shard"] == [3, 3, 16, 64]
    assert results["fsdp8"]["shard"] == results["fsdp8"]["momentum"] == [3, 3, 16, 8]
    assert results["2x4"]["shard"] == results["2x4"]["momentum"] == [3, 3, 16, 16]


def test_a_step_asks_for_whole_parameters_and_split_gradients(results):
    split = {"kernel": [8, 64], "bias": [256]}
    whole = {"kernel": [8, 256], "bias": [256]}
    assert results["2x4"]["traced for"] == {"data": 2, "fsdp": 4}
    assert results["placed"] == {"outside": split, "gathered": whole, "split": split}


def test_networks_of_eight_devices_load_on_one(results):
    assert results["inference"]["devices"] == 1
    assert results["inference"]["error"] < tolerances.MESHES


def test_a_batch_that_does_not_divide(results):
    assert results["uneven"].startswith("UserError: data.batch_size gives 12 rows")
    assert "multiple of 8" in results["uneven"]
