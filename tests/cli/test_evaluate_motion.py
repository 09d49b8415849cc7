"""`jaxgesture evaluate motion`: the table of a tiny model on a made-up presenter."""

import json
import re

import numpy as np
import pytest
from cli import calling
from motion.weights import numpy_params

from jaxgesture.data.datasets import FrameDataset, MotionClip, write_motion
from jaxgesture.data.poses import poses_of
from jaxgesture.data.prepare import prepare_presenter
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.model import Motion
from jaxgesture.motion.normalisation import make_statistics

CONFIG = MotionConfig(
    feature_size=30, audio_size=35, width=16, feedforward=16, heads=2, layers=1, audio_layers=1
)
QUICK = ("--steps=2", "--candidates=1", "--seeds=1", "--together=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Frames of a presenter; features that are a mixture of its joints; a model of them."""
    folder = tmp_path_factory.mktemp("evaluate")
    prepare_presenter(
        folder / "frames", identities=1, clips=5, seconds=4.0, size=32, validation_clips=3,
        progress=False,
    )  # fmt: skip
    frames = FrameDataset(folder / "frames")
    mix = np.random.default_rng(0).normal(size=(30, 30)) / 30

    def clips():
        for info in frames.clips():
            joints = poses_of(frames, info).positions.reshape(info.frames, -1)
            yield MotionClip(
                info.id, info.split, (joints @ mix).astype(np.float32), frames.audio(info)
            )

    write_motion(
        folder / "motion", clips(), feature_size=30, frames_sha256=frames.sha256,
        weights_sha256="0" * 64,
    )  # fmt: skip
    statistics = make_statistics(CONFIG, audio_mean=np.zeros(35), audio_std=np.ones(35))
    variables = {"params": numpy_params(CONFIG), "stats": statistics}
    Motion(CONFIG, variables).save(folder / "model")
    return folder


@pytest.fixture
def run(folder, capsys):
    def call(*arguments, **given):
        places = {"weights": "model", "data": "motion", "poses": "frames", **given}
        named = [f"--{name}={folder / place}" for name, place in places.items()]
        status = calling.call("evaluate", "motion", *named, *arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return call


def test_the_table(run, folder):
    files = [folder / f"table.{suffix}" for suffix in ("md", "json", "png")]
    status, out, err = run(*QUICK, "--guidance=0.5,2", f"--out={','.join(map(str, files))}")
    assert status == 0, err
    assert files[0].read_text() == out and files[2].stat().st_size > 10_000
    data = json.loads(files[1].read_text())
    name = folder / "model"
    models = [f"{name} guidance {weight}" for weight in (0.5, 2.0)]
    endings = ("", ", other speech", ", without speech")
    true = ["true motion", "true motion, other speech"]
    assert set(data["rows"]) == {*true, *(m + e for m in models for e in endings)}
    assert data["rows"]["true motion"]["speed_correlation"]["mean"] > 0.9
    # The features are a mixture of the joints, so that the probe finds the hands.
    probed = data["protocol"]["probe_r_squared"]
    assert len(probed) == 15 and min(probed["left_wrist"], probed["right_wrist"]) > 0.98
    assert len(data["protocol"]["clips"]) == 3 and "stressed beats" in out
    # Without speech the weight of its guidance is nothing.
    silent = [data["clips"][m + endings[2]] for m in models]
    assert silent[0] == silent[1] != data["clips"][models[0]]


@pytest.mark.parametrize(
    "arguments,given,message",
    [
        (["--guidance=1,2", "--steps=2,4"], {}, "one thing at a time"),
        (["--guidance=loud"], {}, "--guidance=loud: could not convert"),
        (["--selection=best"], {}, "selection is 'best'"),
        (["--clips=1"], {}, "at least 2 clips"),
        (["--split=test"], {}, "no 'test' clips"),
        (["--lpips=vgg"], {}, "--lpips is not for `evaluate motion`"),
        (["--split=train"], {}, "judge other clips"),
        (["--guidance=2,2"], {}, "names a value twice"),
        (["--sampler=ddim,heun"], {}, "choose one of ddim"),
        ([], {"data": "frames"}, "not a motion dataset|no motion dataset|has no motion.json"),
        (["--out=table.pdf"], {}, r"ends in .md or .json or .png"),
    ],
)
def test_what_cannot_be_measured(run, arguments, given, message):

    status, out, err = run(
        *QUICK[:2] if "--steps=2,4" not in arguments else (), *arguments, **given
    )
    assert status == 1 and not out
    assert re.search(message, err), err


def test_features_of_other_frames_are_refused(run, folder):
    prepare_presenter(
        folder / "others", identities=1, clips=2, seconds=1.0, size=32, progress=False
    )
    status, _, err = run(*QUICK, poses="others")
    assert status == 1 and "made from other frames" in err
