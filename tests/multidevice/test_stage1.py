import numpy as np
import pytest
import tolerances
from multidevice import fake_devices

pytestmark = [pytest.mark.multidevice, pytest.mark.slow]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two steps of stage 1 with all its losses, on one device and on eight (data 4, fsdp 2)."""
    # The programs run twice: compiling them with care takes longer than it saves.
    flags = "--xla_backend_optimization_level=0"
    return fake_devices.run(
        "stage1.py", tmp_path_factory.mktemp("stage1"), flags=flags, timeout=900
    )


def test_losses_are_those_of_one_device(results):
    print(results["metrics"])
    judged = {f"loss_{name}" for name in ("perceptual", "local", "local_style", "adversarial")}
    assert judged | {"discriminator_loss", "grad_norm"} < results["metrics"].keys()
    assert max(results["metrics"].values()) < tolerances.STAGE1_MESHES


def test_the_state_is_that_of_one_device(results):
    errors = results["state"]
    print({name: error for name, error in errors.items() if error == max(errors.values())})
    assert any(name.startswith("networks/discriminator/stats") for name in errors)
    assert max(errors.values()) < tolerances.STAGE1_MESHES


def test_both_networks_moved(results):
    """By much more than the tolerance, or the comparison says nothing."""
    for network in ("generator", "discriminator"):
        moved = [v for k, v in results["moved"].items() if k.startswith(f"networks/{network}/pa")]
        assert np.median(moved) > 1e4 * tolerances.STAGE1_MESHES


def test_both_networks_are_split_over_fsdp(results):
    for network in ("generator", "discriminator"):
        split = {v for k, v in results["shards"].items() if k.startswith(f"networks/{network}/pa")}
        assert split == {0.5, 1.0}
