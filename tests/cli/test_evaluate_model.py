"""`jaxgesture evaluate --model`: videos of tiny models on a made-up presenter, and the report."""

import json

import numpy as np
import pytest
from animation.weights import TINY
from cli import calling
from generation import models
from media import make_video

from jaxgesture.core.errors import UserError
from jaxgesture.data import presenter_landmarks
from jaxgesture.data.datasets import FrameDataset
from jaxgesture.data.prepare import prepare_presenter
from jaxgesture.evaluation import video_sets
from jaxgesture.generation import held_out_videos, kept
from jaxgesture.motion.model import load_motion

QUICK = ("--steps=2", "--candidates=1", "--clips=2", f"--size={TINY.size}", "--frames=5")
SETS = ("redrawn", "generated", "other_speech", "without_speech")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    prepare_presenter(
        folder / "frames", identities=1, clips=3, seconds=2.4, size=TINY.size,
        validation_clips=2, progress=False,
    )  # fmt: skip
    animation = models.make_animation()
    animation.save(folder / "stage1")
    models.make_motion(animation.sha256).save(folder / "stage2")
    return folder


@pytest.fixture(autouse=True)
def few_performances(monkeypatch):
    monkeypatch.setattr(presenter_landmarks, "_SEEDS", range(900_000_000, 900_000_002))


@pytest.fixture
def run(folder, capsys):
    def call(*arguments, model="stage1,stage2", data="frames"):
        names = ",".join(str(folder / name) for name in model.split(","))
        status = calling.call(
            "evaluate", f"--model={names}", f"--data={folder / data}", *QUICK, *arguments
        )
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture(scope="module")
def report(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    arguments = [f"--model={folder / 'stage1'},{folder / 'stage2'}", f"--data={folder / 'frames'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(presenter_landmarks, "_SEEDS", range(900_000_000, 900_000_002))
        assert calling.call("evaluate", *arguments, *QUICK, f"--out={out}") == 0
    return out


def test_sets_and_controls(report, folder):
    found = json.loads((report / "report.json").read_text())
    assert set(found["clips"]) == {"reference", *SETS}
    assert set(found["pictures"]) == set(SETS)
    assert found["protocol"]["sampling"]["steps"] == 2
    assert found["alignment"]["reference"]["beat_response"]["mean"] == pytest.approx(1, abs=0.5)
    assert found["landmarks"]["redrawn"]["pixels"]["mean"] > 0
    text = (report / "report.md").read_text()
    assert "sampling: guidance 2.0" in text and "stage 1" in text
    assert not found["problems"]


def test_true_videos_are_the_clips(report, folder):
    dataset = FrameDataset(folder / "frames")
    true = video_sets.find(report / "videos/true")
    for clip in dataset.clips("validation"):
        (name,) = [name for name in true if name.endswith(clip.id)]
        frames = video_sets.read(true[name].video, range(clip.frames), dataset.size)
        assert len(frames) == clip.frames
        error = np.abs(np.stack(list(frames.values())) - dataset.frames(clip).astype(float)).mean()
        assert error < 6
        assert video_sets.look(true[name].video).has_audio
        boxes = video_sets.read_boxes(
            true[name].landmarks, video_sets.look(true[name].video), clip.frames
        )
        np.testing.assert_allclose(boxes[:, :3], dataset.boxes(clip)[:, :3], atol=1e-4)


def test_motion_of_the_sets(report, folder):
    motion = {
        name: [
            video_sets.read_motion(r.motion)
            for r in video_sets.find(report / "videos" / name).values()
        ]
        for name in ("true", *SETS)
    }
    for one, other in zip(motion["true"], motion["redrawn"], strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("other_speech", "without_speech"):
        for one, other in zip(motion["generated"], motion[name], strict=True):
            assert one.shape == other.shape and np.abs(one - other).max() > 1e-4
    rows = models.CONFIG.segment_frames
    assert len(motion["generated"][0]) == 60 and rows == 20


def test_the_same_command_keeps_the_videos(report, run, folder):
    before = {path: path.stat().st_mtime_ns for path in (report / "videos").rglob("*.mp4")}
    one = next(iter(before))
    one.unlink()
    status, _, err = run(f"--out={report}")
    assert status == 0, err
    after = {path: path.stat().st_mtime_ns for path in before}
    assert [path for path in before if before[path] != after[path]] == [one]
    status, _, err = run(f"--out={report}", "--steps=3")
    assert status == 1 and "holds videos of other models, clips or options" in err


def test_stage_1_alone(run, tmp_path):
    status, out, err = run(f"--out={tmp_path}", model="stage1")
    assert status == 0, err
    assert {p.name for p in (tmp_path / "videos").iterdir() if p.is_dir()} == {"true", "redrawn"}
    assert "Generation: a motion model: --model=STAGE1,STAGE2" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--guidance=1,2"], "--guidance has 2 values"),
        (["--guidance=loud"], "--guidance=loud: could not convert"),
        (["--sampler=none"], "none"),
        (["--clips=0"], "at least one is needed"),
        (["--split=test"], "no 'test' clips"),
        (["--seed=-1"], "seed is -1; choose 0"),
        (["--videos=/nowhere"], "--videos=/nowhere is no folder"),
        (["--poses=x"], "--poses is not for `evaluate model`"),
    ],
)
def test_what_is_refused(run, tmp_path, arguments, message):
    status, out, err = run(*arguments, f"--out={tmp_path / 'out'}")
    assert (status, out) == (1, "") and message in err
    assert not list((tmp_path / "out").glob("videos/*"))


def test_too_many_models_and_one_without_a_name(run, folder, tmp_path):
    status, _, err = run(f"--out={tmp_path}", model="stage1,stage2,stage2")
    assert status == 1 and "--model takes stage 1, or stage 1 and stage 2" in err
    status, _, err = run(f"--out={tmp_path}", f"--model={folder / 'stage1'},")
    assert status == 1 and "--model takes stage 1, or stage 1 and stage 2" in err


def test_a_record_without_anything_made_does_not_block(tmp_path):
    kept.begin(tmp_path / "out", {"seed": 1})
    kept.begin(tmp_path / "out", {"seed": 2})
    (tmp_path / "out/a.mp4").touch()
    kept.begin(tmp_path / "out", {"seed": 2})
    with pytest.raises(UserError, match="of other models, clips or options"):
        kept.begin(tmp_path / "out", {"seed": 3})


def test_sound_of_a_prepared_folder(folder, tmp_path):
    """Clips of others than the presenter have the sound of their videos, where these are there."""
    from jaxgesture.data.prepare import prepare_folder

    rng = np.random.default_rng(0)
    still = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    frames = [np.roll(still, k, axis=1) for k in range(60)]
    (tmp_path / "videos").mkdir()
    tone = (0.3 * np.sin(np.arange(2.4 * 16000) / 10)).astype(np.float32)
    make_video(tmp_path / "videos/talk.mp4", frames, sound=(tone, 16000))
    prepare_folder(
        tmp_path / "videos", tmp_path / "data", size=TINY.size, validation="last:1.2",
        progress=False,
    )  # fmt: skip
    dataset = FrameDataset(tmp_path / "data")
    clips = dataset.clips("validation")
    making = held_out_videos.Making(
        models.make_animation(), load_motion(folder / "stage2"), dataset, clips,
        tmp_path / "videos", options={"steps": 2, "candidates": 1},
    )  # fmt: skip
    held_out_videos.make_videos(making, tmp_path / "out")
    # One clip has no other speech.
    assert set(making.sets()) == {"true", *SETS} - {"other_speech"}
    for name in making.sets():
        (recording,) = video_sets.find(tmp_path / "out" / name).values()
        assert video_sets.look(recording.video).has_audio
        assert recording.landmarks is None and recording.beats is not None
