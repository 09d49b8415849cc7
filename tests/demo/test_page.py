"""The demo's pictures and its page, of made-up results."""

import html.parser
import re

import numpy as np
import pytest
from PIL import Image

from jaxgesture.data import presenter
from jaxgesture.demo import page
from jaxgesture.evaluation import plots
from jaxgesture.evaluation.reconstruction import Clip, Reconstruction

GROUPS = ("stage1", "stage1_known_speakers", "stage1_new_speakers")
SCORES = ("psnr", "psnr_source_unchanged", "psnr_own_mean_frame", "psnr_wrong_driving",
          "above_own_mean_frame", "above_wrong_driving")  # fmt: skip
MOUTH = ("mouth_own_speech", "mouth_other_speech", "mouth_margin", "true_mouth_own_speech",
         "true_mouth_other_speech")  # fmt: skip


def made_up():
    """Results no two of which are alike, so that none can stand in another's place unseen."""
    names = [f"{group}/{score}" for group in GROUPS for score in SCORES]
    numbers = {name: 20 + 0.37 * i for i, name in enumerate(names)}
    return numbers | {f"stage2/{name}": 0.11 * (i + 1) for i, name in enumerate(MOUTH)}


class Cells(html.parser.HTMLParser):
    """The rows of all tables, and the files that the page shows."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.files, self.inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.files += [value for name, value in attrs if name == "src"]
        if tag == "tr":
            self.rows.append([])
        self.inside = tag in ("td", "th")
        if self.inside:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


@pytest.fixture
def written(tmp_path):
    def write(**record):
        seconds = {"corpus": 12.4, "stage1": 345.6}
        page.write(tmp_path, {"results": made_up(), "seconds": seconds, **record})
        return (tmp_path / "index.html").read_text()

    return write


def test_every_number_is_in_its_place(written):
    results, rows = made_up(), {row[0]: row[1:] for row in Cells(written()).rows}
    labels = ("all held-out clips", "new clips of trained speakers", "speakers never seen")
    for group, label in zip(GROUPS, labels, strict=True):
        assert rows[label] == [f"{results[f'{group}/{score}']:.2f}" for score in SCORES]
    assert rows["generated"] == ["0.11", "0.22"]
    assert rows["the presenter itself"] == ["0.44", "0.55"]
    # Heads and cells are as many.
    head = next(row for row in Cells(written()).rows if "redrawn" in row)
    assert len(head) == len(SCORES) + 1


def test_the_page_shows_the_files_that_the_line_makes(written):
    assert set(Cells(written()).files) == {
        "source.png", "generated.mp4", "frames.png", "reconstruction.png", "loss_stage1.png",
        "loss_stage2.png",
    }  # fmt: skip


def test_the_command_and_the_times(written, tmp_path):
    text = written(command="jaxgesture demo --out=a&b<c>")
    assert "jaxgesture demo --out=a&amp;b&lt;c&gt;" in text and "a&b<c>" not in text
    assert "corpus 12 s, stage1 346 s" in text
    assert "jaxgesture demo" in written() and not re.search(r"\$\w", text)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_result_that_is_missing_is_no_page(tmp_path):
    results = made_up()
    del results["stage1_new_speakers/psnr"]
    with pytest.raises(KeyError, match="stage1_new_speakers/psnr"):
        page.write(tmp_path, {"results": results, "seconds": {}})
    assert not list(tmp_path.iterdir())


@pytest.fixture
def rows(monkeypatch):
    """What would be drawn: label -> pictures."""
    drawn = {}
    monkeypatch.setattr(page.plots, "labelled_rows", lambda rows, path: drawn.update(rows))
    return drawn


def test_true_and_generated_frames_are_of_the_same_moments(rows, tmp_path):
    play = presenter.perform(0, 0, 2.0, 32)
    # As if the generated frames said their numbers.
    generated = (
        np.zeros((len(play), 32, 32, 3), np.uint8)
        + np.arange(len(play), dtype=np.uint8)[:, None, None, None]
    )
    page.generation_strip(play.frame(0), play, generated, tmp_path / "a.png")
    source, true, ours = rows.values()
    moments = [int(picture[0, 0, 0]) for picture in ours]
    assert len(moments) == page.COLUMNS and moments == sorted(set(moments))
    assert moments[0] == 10 and moments[-1] == len(play) - 10
    np.testing.assert_array_equal(source[0], play.frame(0))
    for moment, picture in zip(moments, true, strict=True):
        np.testing.assert_array_equal(picture, play.frame(moment))


@pytest.mark.parametrize("count", [1, 3, 40])
def test_a_clip_of_any_length_fills_the_strip(rows, tmp_path, count):
    frames = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    item = Reconstruction(Clip(frames[0] + 200, frames, None), frames / 255 + 0.5, frames / 255)
    page.reconstruction_strip({"someone": item}, tmp_path / "a.png")
    driving, redrawn = rows["someone:\nsource, driving"], rows["someone:\nredrawn"]
    assert len(driving) == len(redrawn) == page.COLUMNS
    assert driving[0][0, 0, 0] == redrawn[0][0, 0, 0] == 200
    assert [int(p[0, 0, 0]) for p in (driving[1], driving[-1])] == [0, count - 1]
    for true, ours in zip(driving[1:], redrawn[1:], strict=True):
        assert ours.dtype == np.uint8 and abs(int(ours[0, 0, 0]) - int(true[0, 0, 0]) - 128) <= 1


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_curves_are_of_what_the_trainings_log(stage, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        plots, "curves", lambda lines, panels, path, log: drawn.update(panels, log=log)
    )
    page.loss_curves(stage, [], tmp_path / "a.png")
    assert set(drawn.pop("log")) <= set(drawn)
    names = {name for panel in drawn.values() for name in panel}
    assert all(name.startswith(("train/", "eval/")) for name in names)
    assert all(len(panel) <= len(plots.COLOURS) for panel in drawn.values())
    # No two curves of a panel have one label.
    assert all(len(set(panel.values())) == len(panel) for panel in drawn.values())


def test_strips_and_curves_are_pictures(tmp_path):
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    item = Reconstruction(Clip(frames[0], frames, None), frames / 255, frames / 255)
    page.reconstruction_strip({"one": item, "other": item}, tmp_path / "strip.png")
    lines = [{"step": k, "train/loss": k + 1.0} for k in range(3)]
    page.loss_curves("stage2", lines, tmp_path / "curves.png")
    for name in ("strip.png", "curves.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG" and min(picture.size) > 200
