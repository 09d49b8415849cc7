"""Kills a training again and again, at drawn moments, and compares it with an unbroken one.

    PYTHONPATH=tests python -m e2e.kills FOLDER --kills=20

The training is `jaxgesture train` on stage 2, at the smallest sizes, on made-up motion, with a save
every few steps. Printed are a table of the kills, and the largest differences of losses and state
between the training that was killed and one that was not. FOLDER must be new.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
from multidevice import stage2

from jaxgesture.core import tree
from jaxgesture.core.checkpoint import restore_networks
from jaxgesture.core.metrics import read_scalars

ROOT = pathlib.Path(__file__).resolve().parents[2]
EVERY = 20
LONG = 1_000_000
# By turns: while it starts, while it trains, and as soon as a save has begun.
KINDS = ("save", "training", "save", "start", "training")
CONFIG = {
    "data.batch_size": 8, "model.feature_size": stage2.FEATURE_SIZE,
    "model.audio_size": stage2.AUDIO_SIZE, "model.segment_frames": 12, "model.width": 32,
    "model.feedforward": 32, "model.heads": 2, "model.layers": 1, "model.audio_layers": 1,
    "model.standardise": True, "optim.schedule": "constant", "optim.warmup_steps": 0,
    "optim.ema_decay": 0.99, "train.log_every": 1, "train.eval_every": 0,
    "checkpoint.every_steps": EVERY, "checkpoint.keep": 2, "eval.segments": 2,
    "eval.batch_size": 2, "eval.noise_levels": 1,
}  # fmt: skip


@dataclasses.dataclass
class Kill:
    """One kill and what the next start makes of it.

    Attributes:
        kind: what was aimed at.
        step: the last that was logged.
        saving: whether a save was under way: it has left a temporary folder.
        newest: newest step with a name.
        resumed: where the next run began.
    """

    kind: str
    step: int
    saving: bool
    newest: int
    resumed: int = -1

    def row(self, number: int) -> str:
        lost = self.step - self.resumed
        cells = (number, self.kind, self.step, "yes" if self.saving else "no", self.newest,
                 self.resumed, lost)  # fmt: skip
        return "| " + " | ".join(map(str, cells)) + " |"


class Training:
    """The command in a process of its own."""

    def __init__(self, folder: pathlib.Path, name: str, steps: int):
        self.workdir, self.log = folder / name, folder / f"{name}.log"
        changes = {**CONFIG, "data.directory": folder / "motion", "train.steps": steps}
        command = [sys.executable, "-m", "jaxgesture.cli", "train", f"--workdir={self.workdir}",
                   f"--config={ROOT}/configs/stage2.py:debug",
                   *(f"--config.{key}={value}" for key, value in changes.items())]  # fmt: skip
        cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(folder / "programs"))
        settings = {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": cache,
                    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}  # fmt: skip
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **settings}, stdout=log, stderr=log
            )

    def until(self, condition, timeout=600.0):
        """Waits, and looks often: a save of so little takes some hundredths of a second."""
        end = time.monotonic() + timeout
        while not condition():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.001)

    def says(self, pattern):
        return re.search(pattern, self.log.read_text(errors="replace"))

    def names(self):
        folder = self.workdir / "checkpoints"
        return os.listdir(folder) if folder.is_dir() else []

    def steps(self):
        return sorted(int(name) for name in self.names() if name.isdigit())

    def saving(self):
        return any("orbax-checkpoint-tmp" in name for name in self.names())

    def end(self, number=signal.SIGKILL, timeout=60):
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def resumed(self):
        """The step at which it says it begins."""
        self.until(lambda: self.says(r"(starting|resuming) at step (\d+) of"))
        found = self.says(r"(starting|resuming) at step (\d+) of")
        assert found
        return int(found[2])


def logged(workdir):
    """The last step that was logged; 0 for none."""
    path = workdir / "metrics.jsonl"
    lines = read_scalars(workdir) if path.exists() else []
    return max((line["step"] for line in lines), default=0)


def kill(training: Training, kind: str, rng: np.random.Generator) -> Kill:
    if kind == "start":
        time.sleep(rng.uniform(0.5, 6.0))
    else:
        start = training.resumed()
        # Past the steps that are done again, and past the first save.
        training.until(lambda: training.steps() and training.steps()[-1] > start)
        time.sleep(rng.uniform(0.0, 3.0))
        if kind == "save":
            training.until(training.saving)
            time.sleep(rng.uniform(0.0, 0.02))
    assert training.end() == -signal.SIGKILL, training.log.read_text()
    newest = (training.steps() or [0])[-1]
    return Kill(kind, logged(training.workdir), training.saving(), newest)


def killed(folder: pathlib.Path, kills: int, seed: int = 0) -> tuple[list[Kill], int]:
    """Kills a training so often, then stops it; returns what happened and the last step."""
    rng, done = np.random.default_rng(seed), []
    for number in range(kills):
        training = Training(folder, "killed", LONG)
        try:
            if done and KINDS[number % len(KINDS)] != "start":
                done[-1].resumed = training.resumed()
            done.append(kill(training, KINDS[number % len(KINDS)], rng))
            if len(done) > 1 and done[-2].resumed < 0:
                # The next start was killed before it said anything, or just after.
                said = training.says(r"resuming at step (\d+) of")
                done[-2].resumed = int(said[1]) if said else done[-1].newest
        finally:
            training.process.kill()
        print(f"{number + 1}: {done[-1]}", file=sys.stderr, flush=True)
    training = Training(folder, "killed", LONG)
    try:
        done[-1].resumed = training.resumed()
        training.until(lambda: logged(training.workdir) > done[-1].step + EVERY)
        began = time.monotonic()
        assert training.end(signal.SIGTERM) == 0, training.log.read_text()
        print(f"SIGTERM: status 0 after {time.monotonic() - began:.1f} s", file=sys.stderr)
    finally:
        training.process.kill()
    found = training.says(r"stopped by SIGTERM; saved step (\d+)")
    assert found, training.log.read_text()
    return done, int(found[1])


def unbroken(folder: pathlib.Path, steps: int) -> None:
    training = Training(folder, "unbroken", steps)
    try:
        assert training.process.wait(600) == 0, training.log.read_text()
    finally:
        training.process.kill()


def differences(folder: pathlib.Path) -> dict[str, float]:
    """The largest differences between both trainings, and the steps that each has logged."""
    losses, leaves = [], []
    for name in ("killed", "unbroken"):
        lines = [line for line in read_scalars(folder / name) if "train/loss" in line]
        steps = [line["step"] for line in lines]
        assert steps == list(range(1, len(steps) + 1)), steps
        losses.append(np.array([line["train/loss"] for line in lines]))
        network = restore_networks(folder / name)[0]["denoiser"]
        leaves.append(tree.flatten({"params": network.params, "ema": network.ema}))
    assert leaves[0].keys() == leaves[1].keys()
    apart = [np.abs(np.asarray(leaves[0][k]) - np.asarray(leaves[1][k])).max() for k in leaves[0]]
    return {
        "steps": float(len(losses[1])),
        "loss": float(np.abs(losses[0] - losses[1]).max()),
        "state": float(max(apart)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.folder.mkdir(parents=True)
    stage2.write_dataset(given.folder)
    done, steps = killed(given.folder.resolve(), given.kills, given.seed)
    unbroken(given.folder.resolve(), steps)
    print("| kill | aimed at | last step logged | during a save | newest whole step | resumed at "
          "| steps lost |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for number, one in enumerate(done, 1):
        print(one.row(number))
    print(differences(given.folder))


if __name__ == "__main__":
    main()
