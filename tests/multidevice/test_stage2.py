import jax
import numpy as np
import pytest
import tolerances
from multidevice import launch, stage2

from jaxgesture.core import tree
from jaxgesture.core.checkpoint import restore_networks
from jaxgesture.core.metrics import read_scalars

pytestmark = [pytest.mark.multidevice, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("stage2")
    stage2.write_dataset(path)
    return path


def launched(folder, processes):
    command = launch.script("stage2.py", folder)
    return launch.run(
        command, processes=processes, devices=8 // processes, flags=launch.QUICK, timeout=600
    )


@pytest.fixture(scope="module")
def eight(folder):
    """The trainings of one process with eight devices; the shares of the state on one of them."""
    return launched(folder, 1)


@pytest.fixture(scope="module")
def pair(folder, eight):
    """The trainings of two processes with four devices each, likewise."""
    return launched(folder, 2)


@pytest.fixture(scope="module")
def four(folder, eight):
    """The training of four processes with two devices each, over which the state is split."""
    return launched(folder, 4)


# "fewer" is begun on eight devices and ends on one, "more" begins on one and ends on the pair's,
# "pair" is begun and ended by it.
TRAININGS = [
    ("eight", "many"),
    ("eight", "fewer"),
    ("pair", "pair"),
    ("pair", "more"),
    ("four", "four"),
]


def scalars(workdir):
    """What training and evaluation measured, by step and name, but for times."""
    return {
        (line["step"], name): value
        for line in read_scalars(workdir)
        for name, value in line.items()
        if name not in ("step", "time") and not name.startswith("speed/")
    }


def weights(workdir, step=None):
    with jax.enable_x64(True):
        network = restore_networks(workdir, step=step)[0]["denoiser"]
        parts = {"params": network.params, "ema": network.ema, "stats": network.stats}
        found = {name: np.asarray(leaf) for name, leaf in tree.flatten(parts).items()}
    assert {leaf.dtype for leaf in found.values()} == {np.dtype("f8")}
    return found


@pytest.mark.parametrize("run, name", TRAININGS)
def test_losses_are_those_of_one_device(request, folder, run, name):
    request.getfixturevalue(run)
    one, other = scalars(folder / "one"), scalars(folder / name)
    assert one.keys() == other.keys()
    errors = {key: abs(other[key] / value - 1) for key, value in one.items()}
    print(max((error, key) for key, error in errors.items()))
    assert max(errors.values()) < tolerances.STAGE2_MESHES


@pytest.mark.parametrize("run, name", TRAININGS)
def test_the_state_is_that_of_one_device(request, folder, run, name):
    request.getfixturevalue(run)
    one, other = weights(folder / "one"), weights(folder / name)
    assert one.keys() == other.keys()
    errors = {key: float(np.abs(other[key] - leaf).max()) for key, leaf in one.items()}
    print(max((error, key) for key, error in errors.items()))
    assert max(errors.values()) < tolerances.STAGE2_MESHES


def test_what_is_compared(eight, folder):
    """Bars of the histogram and both evaluations; weights that moved by more than the tolerance."""
    found = scalars(folder / "one")
    bars = {f"train/loss_t{low:03d}_{low + 99:03d}" for low in range(0, 1000, 100)}
    assert bars <= {name for _, name in found}
    judged = {"eval/loss", "eval/loss_without_audio", "eval/loss_t250", "eval/loss_t750"}
    for step in (stage2.HALF, stage2.STEPS):
        assert judged <= {name for at, name in found if at == step}
    before, after = (weights(folder / "fewer", step) for step in (stage2.HALF, stage2.STEPS))
    moved = [np.abs(after[k] - v).max() for k, v in before.items() if not k.startswith("stats")]
    assert np.median(moved) > 1e4 * tolerances.STAGE2_MESHES


@pytest.mark.parametrize("run, share", [("eight", 0.5), ("pair", 0.5), ("four", 0.125)])
def test_the_state_is_split_over_fsdp(request, run, share):
    for part in ("params", "ema", "opt_state"):
        shares = request.getfixturevalue(run)
        found = {v for k, v in shares.items() if k.startswith(f"denoiser/{part}/")}
        assert found == {share, 1.0}
