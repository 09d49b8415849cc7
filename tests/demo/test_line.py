"""The line from a corpus to a page: what is kept, what is made again, what is refused."""

import json

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.demo import line
from jaxgesture.demo.line import PARTS, Demo
from jaxgesture.demo.settings import DemoSettings
from jaxgesture.evaluation.reconstruction import Clip, Reconstruction

SMALL = DemoSettings(size=32, identities=2, clips=2, stage1_steps=4, stage2_steps=6)
# What each part leaves behind; the first of them is that by which it counts as done.
FILES = {
    "corpus": ["corpus/clips.json"],
    "stage1": ["stage1/checkpoints/4/state"],
    "motion": ["motion/motion.json"],
    "stage2": ["stage2/checkpoints/6/state"],
    "video": ["generated.mp4", "frames.png"],
    "measure": ["reconstruction.png"],
    "page": ["index.html", "loss_stage1.png"],
}


class Broken(Exception):
    """Stands for a process that is killed."""


class Line:
    """A demo whose parts only leave their files, and note that they ran."""

    def __init__(self, out, monkeypatch):
        self.out, self.ran, self.breaks = out, [], ""
        for name in PARTS:
            monkeypatch.setattr(Demo, f"_{name}", lambda demo, name=name: self.make(demo, name))

    def make(self, demo, name):
        self.ran.append(name)
        for file in FILES[name]:
            path = self.out / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("made")
            if self.breaks == name:
                raise Broken
        if name == "measure":
            demo.record["results"]["stage1/psnr"] = 20.0

    def run(self, settings=SMALL):
        """Runs the line in a new process's objects; returns what it had to do."""
        self.ran = []
        Demo(self.out, settings).run()
        return self.ran


@pytest.fixture
def stubbed(tmp_path, monkeypatch):
    return Line(tmp_path / "demo", monkeypatch)


def test_everything_is_made_once_and_in_order(stubbed, capsys):
    assert stubbed.run() == list(PARTS)
    record = json.loads((stubbed.out / line.RECORD).read_text())
    assert list(record["seconds"]) == list(PARTS) and record["results"] == {"stage1/psnr": 20.0}
    assert stubbed.run() == []
    said = capsys.readouterr().err
    assert "demo: 1/7 rendering the presenter ..." in said
    assert "7/7 drawing the page: kept, index.html, loss_stage1.png stands" in said
    assert not list(stubbed.out.glob(".*"))


@pytest.mark.parametrize(
    ("lost", "again"),
    [
        ("corpus/clips.json", PARTS),
        ("motion/motion.json", PARTS[2:]),
        ("frames.png", PARTS[4:]),
        ("reconstruction.png", PARTS[5:]),
        ("index.html", PARTS[6:]),
    ],
)
def test_what_is_lost_is_made_again_with_all_that_rests_on_it(stubbed, lost, again):
    stubbed.run()
    (stubbed.out / lost).unlink()
    assert stubbed.run() == list(again)
    assert stubbed.run() == []


def test_no_model_goes_on_from_a_checkpoint_of_other_data(stubbed):
    stubbed.run()
    for folder in ("stage1", "stage2"):
        (stubbed.out / folder / "old").touch()
    (stubbed.out / "corpus/clips.json").unlink()
    stubbed.run()
    assert not list(stubbed.out.glob("stage?/old"))


def test_a_training_that_was_interrupted_keeps_its_checkpoints(stubbed):
    stubbed.breaks = "stage1"
    with pytest.raises(Broken):
        stubbed.run()
    (stubbed.out / "stage1/old").touch()
    stubbed.breaks = ""
    assert stubbed.run() == list(PARTS[1:])
    assert (stubbed.out / "stage1/old").exists()


@pytest.mark.parametrize("broken", ["stage1", "video"])
def test_a_part_that_dies_while_it_is_made_again_is_not_taken_for_done(stubbed, broken):
    """Its first files are there, and those of its last time may be as well."""
    stubbed.run()
    first = stubbed.out / FILES[broken][0]
    first.unlink()
    if broken == "stage1":
        first.parent.rmdir()
        first.parent.parent.rmdir()
    stubbed.breaks = broken
    with pytest.raises(Broken):
        stubbed.run()
    stubbed.breaks = ""
    assert stubbed.run() == list(PARTS[PARTS.index(broken) :])


@pytest.mark.parametrize("change", [{"size": 64}, {"stage1_steps": 5}, {"held_out": (100,)}])
def test_other_settings_need_another_folder(stubbed, change):
    stubbed.run()
    other = DemoSettings(**{**SMALL.__dict__, **change})
    with pytest.raises(UserError, match="was made with other settings; choose another --out"):
        stubbed.run(other)
    assert stubbed.run() == []


def test_a_damaged_record_makes_everything_again(stubbed):
    stubbed.run()
    (stubbed.out / line.RECORD).write_text('{"made_by": ')
    assert stubbed.run() == list(PARTS)


def test_a_part_that_is_none(stubbed):
    with pytest.raises(ValueError, match="draw is no part of the line"):
        Demo(stubbed.out, SMALL).part("draw", "drawing", lambda: None)


@pytest.mark.parametrize("steps", [4, 100, 1400])
def test_the_trainings_fit_their_number_of_steps(tmp_path, steps):
    demo = Demo(tmp_path, DemoSettings(stage1_steps=steps))
    stage1, stage2 = demo.configs["stage1"], demo.configs["stage2"]
    assert stage1.train.steps == steps and stage1.optim.warmup_steps < steps
    assert stage1.loss.read_out_steps <= steps / 2
    assert stage1.data.directory == str(tmp_path / "corpus")
    assert stage2.data.directory == str(tmp_path / "motion") and stage2.train.steps == 400


class Frames:
    """Held-out clips of two speakers that were trained on and one that was not."""

    def clips(self, split):
        assert split == "validation"
        speakers = ("identity00", "identity100", "identity01")
        return [type("Held", (), {"speaker": speaker}) for speaker in speakers]


def test_known_and_new_speakers_are_measured_apart(tmp_path, monkeypatch):
    from jaxgesture.animation import train

    def judged(animation, frames, config):
        """The further from the truth, the later the clip."""
        assert config.clips == 3
        items = []
        for error in (0.01, 0.1, 0.02):
            pixels = np.full((4, 8, 8, 3), 100, np.uint8)
            truth = Clip(pixels[0], pixels, np.full((8, 8, 3), 0.3))
            wrong = np.full(pixels.shape, 0.9)
            items.append(Reconstruction(truth, pixels / 255 + error, wrong))
        return items

    drawn = {}
    monkeypatch.setattr(train, "evaluate", judged)
    for name in ("animation", "motion_model"):
        monkeypatch.setattr(Demo, name, property(lambda demo: None))
    monkeypatch.setattr(Demo, "frames", property(lambda demo: Frames()))
    monkeypatch.setattr(line.page, "reconstruction_strip", lambda items, path: drawn.update(items))
    monkeypatch.setattr(
        line.measure, "mouth_follows_speech", lambda *arguments: {"mouth_margin": 0.25}
    )
    demo = Demo(tmp_path, SMALL)
    demo._measure()
    found = demo.record["results"]
    assert found["stage1_known_speakers/psnr"] == pytest.approx(-10 * np.log10(0.0002), abs=1e-3)
    assert found["stage1_new_speakers/psnr"] == pytest.approx(20, abs=1e-3)
    assert found["stage2/mouth_margin"] == 0.25
    every = [found[f"stage1{group}/psnr"] for group in ("", "_known_speakers", "_new_speakers")]
    assert every[0] == pytest.approx((2 * every[1] + every[2]) / 3)
    errors = {name: float((item.generated - item.truth).mean()) for name, item in drawn.items()}
    assert errors == pytest.approx({"speaker of the training": 0.01, "new speaker": 0.1}, abs=1e-6)
