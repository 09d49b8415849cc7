"""What a workspace makes, and what it takes as it is; trainings are made up."""

import types

import av
import pytest

from jaxgesture.animation import model as animation_model
from jaxgesture.animation import train as animation_train
from jaxgesture.core.errors import UserError
from jaxgesture.data.datasets import FrameDataset
from jaxgesture.data.prepare import prepare_folder
from jaxgesture.demo import workspace
from jaxgesture.demo.workspace import Workspace
from jaxgesture.generation import extraction
from jaxgesture.motion import model as motion_model
from jaxgesture.motion import train as motion_train

SMALL = {"size": 32, "identities": 1, "clips": 2, "seconds": 0.4, "held_out": ()}
ANIMATION = types.SimpleNamespace(sha256="ab12cd34" + 56 * "0", feature_size=7)


@pytest.fixture
def space(tmp_path, monkeypatch):
    monkeypatch.setattr(workspace, "usable_cores", lambda: 1)
    return Workspace(tmp_path / "work", **SMALL, stage1_steps=2000, stage2_steps=30)


@pytest.fixture
def trained(monkeypatch):
    """The configurations and folders of trainings that leave a checkpoint of nothing."""
    calls = []

    def train(config, workdir):
        calls.append((config, workdir))
        (workdir / "checkpoints" / "7").mkdir(parents=True)

    def extract(animation, frames, out):
        return types.SimpleNamespace(directory=out, feature_size=7, audio_size=35)

    for module in (animation_train, motion_train):
        monkeypatch.setattr(module, "train", train)
    monkeypatch.setattr(animation_model, "load_animation", lambda folder: ANIMATION)
    monkeypatch.setattr(motion_model, "load_motion", lambda folder: folder)
    monkeypatch.setattr(extraction, "extract", extract)
    return calls


def test_the_presenter_is_rendered_once(space, capsys):
    frames = space.frames()
    assert frames.size == 32 and len(frames.clips()) == 2
    assert "rendering the presenter" in capsys.readouterr().out
    assert space.frames().sha256 == frames.sha256 and not capsys.readouterr().out


def test_other_data_is_taken_as_it_is(space, capsys):
    videos = Workspace(space.folder / "elsewhere").example_videos(0.5)
    prepare_folder(videos, space.data, size=48, validation="none", progress=False)
    frames = space.frames()
    assert frames.arguments["made_by"] == "prepare_folder" and not capsys.readouterr().out
    config = space.stage1_config(frames)
    assert config.model.size == 48 and config.data.directory == str(space.data)


def test_a_base_model_is_trained_where_there_is_none(space, trained, capsys):
    assert space.animation() is ANIMATION
    ((config, workdir),) = trained
    assert workdir == space.stage1 and config.train.steps == 2000 and config.model.size == 32
    assert "training stage 1, 2000 steps: there is none" in capsys.readouterr().out
    space.animation()
    assert len(trained) == 1


def test_stage_2_goes_by_the_base_model(space, trained):
    made = space.motion(ANIMATION)
    assert made == space.folder / "stage2-ab12cd34" == space.stage2(ANIMATION)
    ((config, workdir),) = trained
    assert workdir == made and config.train.steps == 30
    assert (config.model.feature_size, config.model.audio_size) == (7, 35)
    assert config.data.directory == str(space.folder / "motion-ab12cd34")
    other = types.SimpleNamespace(sha256=64 * "f", feature_size=7)
    assert space.motion(other) != made and len(trained) == 2
    space.motion(ANIMATION)
    assert len(trained) == 2


def test_videos_to_try(tmp_path):
    folder = Workspace(tmp_path).example_videos(0.4)
    assert sorted(path.name for path in folder.iterdir()) == [
        "broken.mp4", "lecture.webm", "talk.mp4",
    ]  # fmt: skip
    for name, frames in (("talk.mp4", 10), ("lecture.webm", 12)):
        with av.open(str(folder / name)) as container:
            assert len(container.streams.audio) == 1
            assert sum(1 for _ in container.decode(video=0)) == frames
    report = prepare_folder(folder, tmp_path / "data", size=32, validation="none", progress=False)
    assert list(report.skipped) == ["broken.mp4"]
    assert len(FrameDataset(tmp_path / "data").clips()) == 2


def test_a_setting_that_there_is_not(tmp_path):
    with pytest.raises(UserError, match="did you mean 'identities'"):
        Workspace(tmp_path, identites=3)
