import numpy as np
import pytest
import tolerances
from multidevice import launch, stage1

pytestmark = [pytest.mark.multidevice, pytest.mark.slow]

# Names of the trainings by the number of processes that make them, of eight devices in all.
NAMES = {1: ("one", "dp8", "fsdp8", "2x4"), 2: ("pair",), 4: ("four",)}
OTHERS = [(count, name) for count, names in NAMES.items() for name in names if name != "one"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stage1")


@pytest.fixture(scope="module")
def trained(folder):
    """Two steps of stage 1 with all its losses, by that many processes; each is trained once."""
    made = {}

    def train(processes, floats="float64"):
        if (processes, floats) not in made:
            command = launch.script("stage1.py", folder, floats, *NAMES[processes])
            made[processes, floats] = launch.run(
                command, processes=processes, devices=8 // processes, flags=launch.QUICK,
                timeout=1800,
            )  # fmt: skip
        return made[processes, floats]

    return train


def numbers(folder, name, part, floats="float64"):
    """Metrics or state after each step: {"1/name": value}."""
    with np.load(folder / f"{name}-{floats}.npz") as file:
        return {k.replace(f"/{part}/", "/"): file[k] for k in file.files if f"/{part}/" in k}


@pytest.mark.parametrize("processes, name", OTHERS)
def test_losses_are_those_of_one_device(trained, folder, processes, name):
    for count in (1, processes):
        trained(count)
    one, other = (numbers(folder, each, "metrics") for each in ("one", name))
    judged = {f"2/loss_{name}" for name in ("perceptual", "local", "local_style", "adversarial")}
    assert judged | {"2/discriminator_loss", "2/grad_norm"} < one.keys() == other.keys()
    errors = {key: float(abs(other[key] / value - 1)) for key, value in one.items()}
    print(name, max((error, key) for key, error in errors.items()))
    assert max(errors.values()) < tolerances.STAGE1_MESHES


@pytest.mark.parametrize("processes, name", OTHERS)
def test_the_state_is_that_of_one_device(trained, folder, processes, name):
    for count in (1, processes):
        trained(count)
    one, other = (numbers(folder, each, "state") for each in ("one", name))
    assert one.keys() == other.keys()
    assert any(key.startswith("2/networks/discriminator/stats") for key in one)
    errors = {key: float(np.abs(other[key] - value).max()) for key, value in one.items()}
    print(name, max((error, key) for key, error in errors.items()))
    assert max(errors.values()) < tolerances.STAGE1_MESHES


@pytest.mark.parametrize("name", ["dp8", "fsdp8", "2x4"])
def test_a_step_in_float32_at_the_published_rate(trained, folder, name):
    trained(1, "float32")
    losses, state = (
        [numbers(folder, each, part, "float32") for each in ("one", name)]
        for part in ("metrics", "state")
    )
    errors = {
        key: float(abs(losses[1][key] / value - 1))
        for key, value in losses[0].items()
        if key.startswith("1/") and "loss" in key
    }
    assert "1/loss_adversarial" in errors and "1/discriminator_loss" in errors
    moved = []
    for key, value in state[0].items():
        if key.startswith("1/networks/") and "/params/" in key:
            errors[key] = float(np.abs(state[1][key] - value).max())
            moved.append(np.abs(state[0]["2" + key[1:]] - value).max())
    assert len(moved) > 50 and np.median(moved) > tolerances.STAGE1_MESHES_FLOAT32
    print(name, max((error, key) for key, error in errors.items()), np.median(moved))
    norms = [losses[i]["1/grad_norm"] for i in (0, 1)]
    assert abs(norms[1] / norms[0] - 1) < tolerances.STAGE1_MESHES_GRADIENT
    assert max(errors.values()) < tolerances.STAGE1_MESHES_FLOAT32


def test_both_networks_moved(trained, folder):
    """By much more than the tolerance, or the comparison says nothing."""
    trained(1)
    state = numbers(folder, "one", "state")
    for network in ("generator", "discriminator"):
        start = f"networks/{network}/pa"
        moved = [
            np.abs(state[f"2/{key[2:]}"] - value).max()
            for key, value in state.items()
            if key.startswith(f"1/{start}")
        ]
        assert np.median(moved) > 1e4 * tolerances.STAGE1_MESHES


@pytest.mark.parametrize("processes, name", OTHERS)
def test_what_a_device_holds_and_how_often_the_step_is_traced(trained, processes, name):
    result = trained(processes)[name]
    assert result["traces"] == 1
    fsdp = stage1.MESHES[name][1]
    for network in ("generator", "discriminator"):
        shares = {v for k, v in result["shards"].items() if k.startswith(f"networks/{network}/pa")}
        assert shares == {1 / fsdp, 1.0}
