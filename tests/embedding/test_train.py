"""Training the autoencoder of poses: from landmarks or motion features, and what is refused."""

import importlib.util
import json
import pathlib
import shutil
import warnings
from zlib import crc32

import jax
import numpy as np
import pytest

from jaxgesture.core import tree
from jaxgesture.core.config import build, check_sections
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.optim import make_optimizer
from jaxgesture.data import presenter_landmarks
from jaxgesture.data.datasets import MotionClip, write_motion
from jaxgesture.data.presenter import perform
from jaxgesture.embedding import train as training
from jaxgesture.embedding.windows import MOTION, POSES, collect
from jaxgesture.evaluation.pose_embedding import PoseEmbedding
from jaxgesture.perceptual.pose_autoencoder import NETWORK, load_pose_autoencoder

CONFIG = pathlib.Path(__file__).resolve().parents[2] / "configs/pose_autoencoder.py"


def get_config(text, directory="", **changes):
    spec = importlib.util.spec_from_file_location("pose_autoencoder_config", CONFIG)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(text)
    config.data.directory = str(directory)
    config.update_from_flattened_dict({name.replace("__", "."): v for name, v in changes.items()})
    return config


@pytest.fixture(scope="module")
def poses(tmp_path_factory):
    """Landmarks of some performances; of the names one in ten is held out."""
    folder = tmp_path_factory.mktemp("poses")
    for number in range(16):
        arrays = presenter_landmarks.exact(perform(number, number % 2, 6.0, 32))
        presenter_landmarks.write(folder / f"clip{number}.landmarks.npz", arrays)
    return folder


@pytest.fixture(scope="module")
def motion(tmp_path_factory):
    rng = np.random.default_rng(0)
    clips = [
        MotionClip(f"c{k}", split, np.cumsum(rng.standard_normal((90, 6)), 0).astype("f4"), None)
        for k, split in enumerate(["train"] * 3 + ["validation"])
    ]
    folder = tmp_path_factory.mktemp("motion") / "data"
    write_motion(folder, clips, feature_size=6, frames_sha256="0" * 64, weights_sha256="1" * 64)
    return folder


@pytest.mark.parametrize("preset", ["paper", "debug"])
def test_builds(preset):
    config = get_config(preset)
    check_sections(config, training.SECTIONS)
    parts = {n: build(cls, config[n], name=n) for n, cls in training.SECTIONS.items()}
    optimizer = make_optimizer(parts["optim"], parts["train"].steps)
    state = jax.eval_shape(training.make_init(parts["model"], optimizer), jax.random.key(0))
    # Without the 2,112 numbers of the head that is not used, the published network.
    assert tree.count(state.networks[NETWORK].params) == 188_579


def test_what_a_folder_of_landmarks_gives(poses):
    found = collect(str(poses), stride=5)
    assert (found.kind, found.channels, found.fps) == (POSES, 27, 15)
    train, held = found.splits["train"], found.splits["validation"]
    assert len(train) + len(held) == 16 * 12 and len(held) and found.clips == 16
    window = train.example(3, np.random.default_rng(0))["window"]
    assert window.shape == (34, 27) and window.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(window.reshape(34, 9, 3), axis=-1), 1, atol=1e-5)
    assert "windows of poses of 16 clips at 15 frames a second" in found.about
    assert collect(str(poses), stride=5).sha256 == found.sha256


def test_what_a_dataset_of_motion_gives(motion):
    found = collect(str(motion), stride=8)
    assert (found.kind, found.channels, found.fps) == (MOTION, 6, 25)
    assert [len(found.splits[s]) for s in ("train", "validation")] == [3 * 8, 8]


def test_windows_with_unknown_joints_are_left_out_and_told(poses, tmp_path):
    arrays = dict(np.load(poses / "clip0.landmarks.npz"))
    arrays["pose"][60:70, 15] = np.nan
    np.savez(tmp_path / "a.landmarks.npz", **arrays)
    (tmp_path / "b.landmarks.npz").write_bytes(b"nothing")
    with pytest.warns(DataWarning) as caught:
        found = collect(str(tmp_path), stride=1)
    texts = " ".join(str(warning.message) for warning in caught)
    assert "1 of 2 landmarks files are left out" in texts and "of 90 frames" in texts
    kept = found.splits["train"].starts[:, 1]
    # Rows 60 to 69 of 25 a second are 36 to 41 of 15 a second.
    assert kept.tolist() == [0, 1, 2, *range(42, 57)]


def test_every_parameter_moves(poses):
    config = build(training.PoseAutoencoderConfig, {"heads": False}, name="model")
    optimizer = make_optimizer(training.PoseOptimConfig(), 2)
    state = jax.jit(training.make_init(config, optimizer))(jax.random.key(0))
    windows = collect(str(poses), stride=5).splits["train"]
    batch = {"window": np.stack([windows.example(k, None)["window"] for k in range(8)])}
    step = jax.jit(training.make_step(config, optimizer))
    # A bias in front of a normalisation has no gradient but rounding, which Adam makes a step of.
    after, metrics = step(state, batch, jax.random.key(1))
    before, moved = (tree.flatten(s.networks[NETWORK].params) for s in (state, after))
    assert metrics["loss"] > 0 and int(after.step) == 1
    for name, leaf in moved.items():
        assert np.abs(np.asarray(leaf) - np.asarray(before[name])).max() > 0, name


def test_it_learns(poses, tmp_path):
    config = get_config("debug", poses, train__steps=600, train__log_every=200)
    training.train(config, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    held = [line for line in lines if "eval/loss" in line][-1]
    print(held)
    assert held["eval/loss"] < 0.9 * held["eval/loss_of_mean"]  # 0.79 measured
    network = load_pose_autoencoder(tmp_path / "run")
    assert "windows of poses" in network.label and network.sha256[:12] in network.label
    assert PoseEmbedding(network)(np.zeros((2, 34, 27))).shape == (2, 32)


def test_stopping_changes_nothing(poses, tmp_path):
    quick = {"data__batch_size": 8, "train__log_every": 3, "optim__schedule": "constant"}
    whole = training.train(get_config("debug", poses, train__steps=6, **quick), tmp_path / "whole")
    for steps in (3, 6):
        parts = training.train(
            get_config("debug", poses, train__steps=steps, **quick), tmp_path / "parts"
        )
    jax.tree.map(np.testing.assert_array_equal, parts.networks, whole.networks)


def test_motion_features_train_too(motion, tmp_path):
    config = get_config("debug", motion, train__steps=4, data__batch_size=8, model__channels=6)
    training.train(config, tmp_path / "run")
    network = load_pose_autoencoder(tmp_path / "run")
    assert network.config.channels == 6 and "motion features" in network.label


def test_a_single_file_is_trained_on_whatever_its_name(poses, tmp_path):
    name = next(n for n in map("v{}.landmarks.npz".format, range(99)) if not crc32(n.encode()) % 10)
    shutil.copy(poses / "clip0.landmarks.npz", tmp_path / name)
    found = collect(str(tmp_path), stride=5)
    assert [len(found.splits[s]) for s in ("train", "validation")] == [12, 0]
    config = get_config("debug", tmp_path, train__steps=1, data__batch_size=8)
    with pytest.warns(DataWarning, match="no held-out clip .* nothing is evaluated"):
        training.train(config, tmp_path / "run")


def test_what_is_refused(poses, motion, tmp_path):
    def refused(directory, message, **changes):
        with pytest.raises(UserError, match=message), warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            training.train(get_config("debug", directory, **changes), tmp_path / "run")

    refused("", "data.directory is empty")
    refused(tmp_path / "none", "there is no folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no NAME.landmarks.npz and is no dataset")
    refused(motion, "model.channels is 27, motion features have 6")
    refused(poses, "data.stride is 0", data__stride=0)
    refused(poses, "eval.windows is 0", eval__windows=0)
    refused(poses, "model.latent=0", model__latent=0)
    short = tmp_path / "short"
    short.mkdir()
    arrays = presenter_landmarks.exact(perform(0, 0, 1.0, 32))
    presenter_landmarks.write(short / "a.landmarks.npz", arrays)
    refused(short, "no 34 frames in a row")
