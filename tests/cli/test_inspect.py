"""The command inspect: its dataset, its folder of pictures, what it prints."""

import numpy as np
import pytest

from jaxgesture.cli import flags, inspect
from jaxgesture.core.errors import UserError
from jaxgesture.data.datasets import ClipData, write_frames


@pytest.fixture
def run():
    def call(*arguments):
        inspect.FLAGS.unparse_flags()
        for name in inspect.FLAGS:
            inspect.FLAGS[name].unparse()
        assert flags.parse(inspect, ["inspect", *arguments])
        inspect.run()

    return call


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
