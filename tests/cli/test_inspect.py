"""The command inspect: its dataset, its folder of pictures, what it prints."""

import functools

import numpy as np
import pytest
from cli import calling

from jaxgesture import __version__
from jaxgesture.cli import inspect
from jaxgesture.core.errors import UserError
from jaxgesture.data.datasets import ClipData, write_frames
from jaxgesture.generation.provenance import DIGITAL_SOURCE_TYPE, describe
from jaxgesture.generation.writer import VideoWriter


@pytest.fixture
def run():
    return functools.partial(calling.run, inspect)


def test_table_and_pictures(tmp_path, run, capsys, monkeypatch):
    frames = [np.full((8, 8, 3), 50 * i, np.uint8) for i in range(4)]
    write_frames(tmp_path / "mine", [ClipData("a", "train", frames, speaker="ann")], size=8)
    monkeypatch.chdir(tmp_path)
    run("mine")
    text = capsys.readouterr().out
    assert "8 x 8 pixels" in text and "ann" in text
    pictures = sorted((tmp_path / "mine-inspect").iterdir())
    assert [path.name for path in pictures] == ["contact-sheet.png", "lengths.png", "pairs.png"]
    assert all(str(path) in text for path in pictures)
    run("--data=mine/", "--out=there")
    assert len(list((tmp_path / "there").iterdir())) == 3


def test_no_dataset(run):
    with pytest.raises(UserError, match="--data is missing: name the dataset, jaxgesture inspect"):
        run()


def test_a_video_says_what_made_it(tmp_path, run, capsys):
    frames = np.full((2, 16, 16, 3), 90, np.uint8)
    for name, comment in (("made.mp4", describe({"seed": 7})), ("other.mp4", None)):
        with VideoWriter(tmp_path / name, 16, comment=comment) as writer:
            writer.write(frames)
        run(str(tmp_path / name))
    made, source, seed, other = capsys.readouterr().out.splitlines()
    assert made == f"{tmp_path}/made.mp4: synthetic: made by jaxgesture {__version__}"
    assert source == f"  digital_source_type: {DIGITAL_SOURCE_TYPE}" and seed == "  seed: 7"
    assert other == f"{tmp_path}/other.mp4: no entry that says what made it"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.mp4", "other.mp4"]
    with pytest.raises(UserError, match="--out is for the pictures of a dataset"):
        run(str(tmp_path / "made.mp4"), "--out=there")
    (tmp_path / "text.txt").write_text("text")
    with pytest.raises(UserError, match="text.txt is not a"):
        run(str(tmp_path / "text.txt"))
