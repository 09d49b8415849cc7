"""The whole line through the commands, at the smallest sizes; a training that is killed goes on."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import av
import jax
import numpy as np
import pytest
import soundfile
from animation.training import CHANGES
from cli.calling import ROOT, call
from PIL import Image

from jaxgesture.core import tree
from jaxgesture.core.checkpoint import restore_networks
from jaxgesture.core.metrics import read_scalars
from jaxgesture.data.datasets import FrameDataset, MotionDataset

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

STAGE2 = {
    "data.batch_size": 2, "data.stride": 5, "model.segment_frames": 20, "model.width": 16,
    "model.feedforward": 16, "model.heads": 2, "model.layers": 1, "model.audio_layers": 1,
    "optim.name": "sgd", "optim.weight_decay": 0.0, "train.log_every": 1,
    "eval.noise_levels": 1, "eval.batch_size": 2,
}  # fmt: skip
FOREVER = 1_000_000


def train_command(stage, data, workdir, **changes):
    changes = {**{"stage1": CHANGES, "stage2": STAGE2}[stage], **changes}
    changes["data.directory"] = data
    return [
        "train",
        f"--config={ROOT}/configs/{stage}.py:debug",
        f"--workdir={workdir}",
        *(f"--config.{key}={value}" for key, value in changes.items()),
    ]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("line") / "corpus"
    status = call(
        "prepare", "presenter", f"--out={out}", "--size=64", "--identities=1", "--clips=2",
        "--seconds=1.2",
    )  # fmt: skip
    assert status == 0
    return out


def test_from_a_presenter_to_a_video(corpus, capsys):
    folder = corpus.parent
    assert [clip.frames for clip in FrameDataset(corpus).clips()] == [30, 30]

    assert call(*train_command("stage1", corpus, folder / "stage1", **{"train.steps": 3})) == 0
    capsys.readouterr()
    extract = ("extract", f"--animation={folder / 'stage1'}", f"--data={corpus}")
    assert call(*extract, f"--out={folder / 'motion'}") == 0
    assert "2 clips, 60 motion features" in capsys.readouterr().out
    motions = MotionDataset(folder / "motion")
    assert motions.feature_size == 147 and len(motions.weights_sha256) == 64

    stage2 = train_command("stage2", folder / "motion", folder / "stage2", **{"train.steps": 3})
    assert call(*stage2) == 0
    for stage, metric in (("stage1", "eval/psnr_wrong_driving"), ("stage2", "eval/loss")):
        lines = read_scalars(folder / stage)
        assert [line["step"] for line in lines if "train/loss" in line] == [1, 2, 3]
        assert any(metric in line for line in lines)

    frame = FrameDataset(corpus).frames(FrameDataset(corpus).clips()[0], 0, 1)[0]
    Image.fromarray(np.kron(frame, np.ones((2, 3, 1), np.uint8))).save(folder / "me.png")
    t = np.arange(16000) / 16000
    soundfile.write(folder / "speech.wav", 0.3 * np.sin(900 * t) * np.sin(20 * t), 16000)
    command = (
        "generate", f"--image={folder / 'me.png'}", f"--audio={folder / 'speech.wav'}",
        f"--animation={folder / 'stage1'}", f"--motion={folder / 'stage2'}",
        "--candidates=2", "--steps=2",
    )  # fmt: skip
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        made = (f"--out={folder / name}.mp4", f"--motion_out={folder / name}.npy", f"--seed={seed}")
        assert call(*command, *made) == 0
    assert "25 frames" in capsys.readouterr().out
    with av.open(str(folder / "a.mp4")) as container:
        names = [stream.codec_context.name for stream in container.streams]
        assert names == ["h264", "aac"]
        assert sum(1 for _ in container.decode(video=0)) == 25
    first, same, other = (np.load(folder / f"{name}.npy") for name in "abc")
    assert first.shape == (25, 147)
    assert first.tobytes() == same.tobytes() and first.tobytes() != other.tobytes()

    # What stands is kept, and models of another training are refused.
    assert call(*extract, f"--out={folder / 'motion'}") == 0
    changed = {"train.steps": 3, "model.width": 32}
    assert call(*train_command("stage2", folder / "motion", folder / "stage2", **changed)) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("jaxgesture: error: ") and "model.width was 16, now 32" in error


class Training:
    """The training command in a process of its own."""

    def __init__(self, command, workdir: pathlib.Path, log: pathlib.Path):
        self.workdir, self.log = workdir, log
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jaxgesture.cli", *command], stdout=stream, stderr=stream,
                env=environment, cwd=ROOT,
            )  # fmt: skip

    def steps(self) -> list[int]:
        folder = self.workdir / "checkpoints"
        return sorted(int(path.name) for path in folder.glob("*") if path.name.isdigit())

    def wait_for_step(self, step: int) -> None:
        end = time.monotonic() + 240
        while not self.steps() or self.steps()[-1] < step:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        return self.process.wait(60), self.log.read_text()


def test_killed_and_interrupted_training_goes_on(corpus, tmp_path):
    workdir = tmp_path / "work"
    cadence = {"checkpoint.every_steps": 2}
    command = train_command("stage1", corpus, workdir, **cadence, **{"train.steps": FOREVER})

    first = Training(command, workdir, tmp_path / "killed.log")
    try:
        first.wait_for_step(2)
    finally:
        status, _ = first.stop(signal.SIGKILL)
    assert status == -signal.SIGKILL
    kept = first.steps()[-1]

    second = Training(command, workdir, tmp_path / "interrupted.log")
    try:
        second.wait_for_step(kept + 2)
    finally:
        status, text = second.stop(signal.SIGINT)
    assert status == 130, text
    resumed = re.search(r"resuming at step (\d+)", text)
    assert resumed and kept <= int(resumed[1]) <= kept + 2
    stopped = re.search(r"stopped by SIGINT; saved step (\d+) of 1000000; the same command", text)
    assert stopped and "Traceback" not in text
    done = int(stopped[1])
    assert second.steps()[-1] == done > kept

    # As if nothing had happened: the same parameters as without a stop, and no step logged twice.
    straight = train_command("stage1", corpus, tmp_path / "straight", **{"train.steps": done})
    assert call(*straight) == 0
    broken, whole = (
        tree.flatten(restore_networks(folder)[0]["generator"].params)
        for folder in (workdir, tmp_path / "straight")
    )
    for name, leaf in whole.items():
        np.testing.assert_array_equal(np.asarray(broken[name]), np.asarray(leaf), err_msg=name)
    steps = [line["step"] for line in read_scalars(workdir) if "train/loss" in line]
    assert steps == list(range(1, done + 1))
