"""Processes that train together, of which one is killed; and what goes on from there."""

import shutil
import signal
import sys
import time

import numpy as np
import pytest
import tolerances
from multidevice import launch, stage2, toys

from jaxgesture.core import tree
from jaxgesture.core.checkpoint import restore_networks
from jaxgesture.core.metrics import read_scalars

pytestmark = [pytest.mark.multidevice, pytest.mark.slow]

STEPS = 14


def losses(workdir):
    return {line["step"]: line["train/loss"] for line in read_scalars(workdir)}


def weights(workdir):
    networks, _ = restore_networks(workdir)
    return {k: np.asarray(v) for n in networks.values() for k, v in tree.flatten(n.params).items()}


def train(folder, processes, steps=STEPS):
    command = launch.script("toys.py", folder, steps)
    assert launch.run(command, processes=processes, devices=4 // processes) == processes


def kill(command, folder, victim, *, devices=2, flags="", after=toys.EVERY, timeout=120):
    """Kills one of two processes behind a checkpoint; what the other says, how long that takes."""
    with launch.started(command, processes=2, devices=devices, flags=flags) as running:
        deadline = time.monotonic() + timeout
        while not (folder / "checkpoints" / str(after)).is_dir():
            assert time.monotonic() < deadline
            for process in running:
                assert process.poll() is None, process.communicate()[1][-3000:]
            time.sleep(0.05)
        time.sleep(0.25)  # neither at the end of a step nor in the middle, but somewhere
        running[victim].send_signal(signal.SIGKILL)
        start = time.monotonic()
        _, err = running[1 - victim].communicate(timeout=120)
        print(f"process {victim} killed, the other ended after {time.monotonic() - start:.2f} s")
        assert running[1 - victim].returncode == 1, err[-3000:]
        last = err.rstrip().splitlines()[-1]
        assert last.startswith(
            f"jaxgesture: error: process {victim} of 2 stopped answering while this one was at step"
        )
        assert "Check failure" not in err and "Traceback" not in err
        return last, time.monotonic() - start


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing breaks, in one process."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder, 1)
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Two processes of which the second was killed."""
    folder = tmp_path_factory.mktemp("killed")
    last, seconds = kill(launch.script("toys.py", folder, 1000), folder, 1)
    assert last.endswith("; that was all") and seconds < 30
    return folder


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_a_killed_run_goes_on_as_if_it_had_not(whole, killed, processes, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(killed, folder)
    reached = max(losses(folder))
    assert toys.EVERY <= reached < STEPS
    train(folder, processes)
    expected, found = losses(whole), losses(folder)
    assert expected.keys() == found.keys() == set(range(1, STEPS + 1))
    errors = [abs(found[step] / loss - 1) for step, loss in expected.items()]
    print(processes, max(errors))
    assert max(errors) < tolerances.MESHES
    one, other = weights(whole), weights(folder)
    assert max(np.abs(other[name] - leaf).max() for name, leaf in one.items()) < tolerances.MESHES


def test_the_first_process_is_killed(tmp_path):
    _, seconds = kill(launch.script("toys.py", tmp_path, 1000), tmp_path, 0)
    assert seconds < 30


def test_a_command_whose_other_process_is_killed(tmp_path):
    stage2.write_dataset(tmp_path)
    workdir = tmp_path / "run"
    changes = stage2.changes(tmp_path) | {
        "train.steps": 1000, "train.eval_every": 0, "checkpoint.every_steps": 2,
        "mesh.data": 2, "mesh.fsdp": 1, "model.dtype": "float32",
    }  # fmt: skip
    config = launch.HERE.parents[1] / "configs" / "stage2.py"
    command = [sys.executable, "-m", "jaxgesture.cli", "train", f"--config={config}:debug"]
    command += [f"--config.{name}={value}" for name, value in changes.items()]
    last, seconds = kill(
        [*command, f"--workdir={workdir}"], workdir, 0, devices=1, flags=launch.QUICK, after=2,
        timeout=300,
    )  # fmt: skip
    assert seconds < 30
    assert "; the last checkpoint is step " in last
    assert last.endswith("; start all processes again with the same command")
