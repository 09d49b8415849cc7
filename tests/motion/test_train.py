import ml_collections
import numpy as np
import pytest
import tolerances

from jaxgesture.core import config as configuration
from jaxgesture.core.errors import UserError
from jaxgesture.core.metrics import read_scalars
from jaxgesture.data.datasets import MotionClip, MotionDataset, write_motion
from jaxgesture.motion import train as training
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.model import load_motion
from jaxgesture.motion.normalisation import make_statistics
from jaxgesture.motion.representation import to_motion
from jaxgesture.motion.train import SECTIONS, train


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    rng = np.random.default_rng(0)
    clips = [
        MotionClip(
            f"clip{i}", "train" if i < 3 else "validation",
            np.tanh(0.1 * rng.standard_normal((60 + i, 21)).cumsum(0)).astype(np.float32),
            rng.standard_normal((60 + i, 35)).astype(np.float32),
        )
        for i in range(4)
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("data") / "motion"
    write_motion(folder, clips, feature_size=21, frames_sha256="f" * 64, weights_sha256="w" * 64)
    return folder


def make_config(dataset, **changes):
    config = ml_collections.ConfigDict({n: configuration.section(c()) for n, c in SECTIONS.items()})
    config.update_from_flattened_dict(
        {
            "data.directory": str(dataset), "data.batch_size": 4,
            "model.feature_size": 21, "model.audio_size": 35, "model.segment_frames": 20,
            "model.width": 16, "model.feedforward": 16, "model.heads": 2, "model.layers": 1,
            "model.audio_layers": 1, "model.standardise": True, "model.representation": "euler",
            "train.steps": 4, "train.log_every": 2, "eval.noise_levels": 2, **changes,
        }
    )  # fmt: skip
    return config


@pytest.mark.slow
def test_train_resume_load_and_sample(dataset, tmp_path):
    train(make_config(dataset), tmp_path / "whole")
    lines = read_scalars(tmp_path / "whole")
    assert any("train/velocity" in line for line in lines)
    bars = {f"train/loss_t{low:03d}_{low + 99:03d}" for low in range(0, 1000, 100)}
    found = {n: v for line in lines for n, v in line.items() if n.startswith("train/loss_t")}
    # Bars of which no example was drawn are left out.
    assert len(found) > 1 and found.keys() <= bars and np.isfinite(list(found.values())).all()
    assert any(np.isfinite(line.get("eval/loss", np.nan)) for line in lines)

    train(make_config(dataset, **{"train.steps": 2}), tmp_path / "parts")
    train(make_config(dataset), tmp_path / "parts")
    audio = np.random.default_rng(1).standard_normal((30, 35)).astype(np.float32)
    source = np.zeros(21, np.float32)
    source[[0, 4, 8, 9, 13, 17]] = 1
    motions = [
        load_motion(tmp_path / name).sample(audio, source_feature=source, steps=3, candidates=2)
        for name in ("whole", "parts")
    ]
    assert motions[0].shape == (30, 21)
    np.testing.assert_array_equal(*motions)


def test_moments_of_what_is_diffused(dataset, monkeypatch):
    config = MotionConfig(
        feature_size=21, audio_size=35, standardise=True, representation="euler",
        standard_deviations=1.0,
    )  # fmt: skip
    traced = []

    def counted(rows, config):
        traced.append(rows.shape)
        return to_motion(rows, config)

    monkeypatch.setattr(training, "to_motion", counted)
    monkeypatch.setattr(training, "_ROWS", 25)  # less than a clip, and no part of its length
    data = MotionDataset(dataset)
    found = training.training_statistics(data, config)
    assert traced == [(25, 21)]
    clips = [np.asarray(to_motion(data.motion(clip), config)) for clip in data.clips("train")]
    rows = np.concatenate(clips).astype(np.float64)
    wanted = make_statistics(
        config, audio_mean=data.audio_mean, audio_std=data.audio_std,
        motion_mean=rows.mean(0), motion_std=rows.std(0),
    )  # fmt: skip
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=tolerances.MOTION_MOMENTS)


@pytest.mark.parametrize(
    "key, value", [("noise_levels", 0), ("noise_levels", 1001), ("segments", 0), ("batch_size", 0)]
)
def test_an_evaluation_of_nothing(dataset, tmp_path, key, value):
    with pytest.raises(UserError, match=f"eval.{key} .*{value}; choose 1"):
        train(make_config(dataset, **{f"eval.{key}": value}), tmp_path)


def test_sizes_that_are_not_the_datasets(dataset, tmp_path):
    with pytest.raises(UserError, match="model.audio_size=35"):
        train(make_config(dataset, **{"model.audio_size": 1059}), tmp_path)


def test_no_directory(dataset, tmp_path):
    with pytest.raises(UserError, match="jaxgesture extract"):
        train(make_config(dataset, **{"data.directory": ""}), tmp_path)


def test_features_of_other_weights(dataset, tmp_path):
    with pytest.raises(UserError, match="other stage 1 weights .*run `jaxgesture extract` again"):
        train(make_config(dataset, **{"data.weights_sha256": "0" * 64}), tmp_path)
