"""Pictures of what is in a dataset: any number of tiles, any names, numbers that do not move."""

import warnings

import numpy as np
import pytest
from PIL import Image

from jaxgesture.data import audio, boxes
from jaxgesture.data import inspection_pictures as pictures
from jaxgesture.data.inspection_pictures import PART_COLOURS, Tile

GREY = np.full((20, 20, 3), 128, np.uint8)
NOWHERE = np.tile(boxes.ABSENT, (boxes.K, 1))


@pytest.fixture
def drawn(tmp_path):
    """Draws a picture, without a word of warning; returns its pixels."""

    def draw(function, *arguments):
        path = tmp_path / "a.png"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            function(*arguments, path)
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))

    return draw


def _has(pixels, colour):
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(pixels.astype(int) - wanted).max(axis=-1) <= 2).sum())


def _tiles(count, places=NOWHERE, caption="clip"):
    return [Tile(GREY, places, caption, "train, 0.0 of 1.0 s") for _ in range(count)]


def test_sheets_grow_by_rows_of_six(drawn):
    sizes = [drawn(pictures.contact_sheet, _tiles(n), "x").shape[:2] for n in (1, 2, 6, 7, 12, 13)]
    heights, widths = zip(*sizes, strict=True)
    assert widths[0] < widths[1] < widths[2] == widths[3] == widths[4] == widths[5]
    assert heights[0] == heights[2] < heights[3] == heights[4] < heights[5]
    # One grey tile has as many grey pixels as it has room.
    assert _has(drawn(pictures.contact_sheet, _tiles(1), "x"), "#808080") == 192 * 192


def test_names_of_any_length_and_alphabet_stay_in_their_place(drawn):
    plain = drawn(pictures.contact_sheet, _tiles(2), "x")
    for name in ("a" * 500, "話す人 🙂 $x_1$ {}", "", "\\alpha"):
        found = drawn(pictures.contact_sheet, _tiles(2, caption=name), "x")
        assert found.shape == plain.shape
        right = found[:, -20:]
        assert (right == 255).all(), "nothing runs over the edge"


def test_a_long_title_widens_the_sheet(drawn):
    wide = drawn(pictures.contact_sheet, _tiles(1), "a title that is longer than a tile is wide")
    assert wide.shape[1] > drawn(pictures.contact_sheet, _tiles(1), "x").shape[1]
    assert (wide[:, -18:] == 255).all()


@pytest.mark.parametrize("part", range(boxes.K))
def test_a_box_has_the_colour_of_its_part(drawn, part):
    places = NOWHERE.copy()
    places[part] = (0.25, 0.25, 0.75, 0.5)
    colours = list(PART_COLOURS.values())
    bare = drawn(pictures.contact_sheet, _tiles(1), "x")
    assert not any(_has(bare, colour) for colour in colours), "no legend of what is not there"
    counts = [_has(drawn(pictures.contact_sheet, _tiles(1, places), "x"), c) for c in colours]
    legend = min(counts)
    # The frame of the box: 96 by 48 pixels, two thick.
    assert counts[part] - legend == pytest.approx(2 * 2 * (96 + 48), abs=16)
    assert [count == legend for count in counts].count(True) == boxes.K - 1 and legend > 100


def test_pairs_with_and_without_boxes(drawn):
    batch = {"source": np.stack([GREY] * 3), "driving": np.stack([GREY // 2] * 3)}
    bare = drawn(pictures.pairs, batch, "x")
    assert _has(bare, "#808080") == _has(bare, "#404040") == 3 * 192 * 192
    places = np.stack([NOWHERE] * 3)
    places[1, 0] = (0.1, 0.1, 0.9, 0.9)
    marked = drawn(pictures.pairs, {**batch, "boxes": places}, "x")
    assert _has(marked, "#808080") == 3 * 192 * 192, "boxes are those of the driving frames"
    assert _has(marked, "#404040") < 3 * 192 * 192


def _rows(count, columns=audio.AUDIO_SIZE, seed=0):
    rows = np.random.default_rng(seed).random((count, columns)).astype(np.float32)
    rows[:, -2:] = 0
    return rows


@pytest.mark.parametrize(("count", "columns"), [(1, 35), (2, 43)])
def test_features_of_any_length(drawn, count, columns):
    rows = _rows(count, columns)
    rows[0, -2:] = 1
    assert drawn(pictures.audio_features, rows, 25.0, "x").std() > 10


def test_learned_columns_are_a_panel_of_their_own(drawn):
    plain = drawn(pictures.audio_features, _rows(50), 25.0, "x")
    more = drawn(pictures.audio_features, _rows(50, 40), 25.0, "x")
    assert more.shape[0] > plain.shape[0] + 100 and more.shape[1] == plain.shape[1]


def test_silence_and_columns_that_do_not_move(drawn):
    """Nothing is divided by a spread of zero."""
    assert drawn(pictures.audio_features, np.zeros((50, 40), np.float32), 25.0, "$x$").std() > 5


@pytest.mark.parametrize(("count", "history"), [(1, 0), (3, 4)])
def test_segments(drawn, count, history):
    rng = np.random.default_rng(0)
    batch = {
        "motion": rng.normal(size=(count, 12, 3)),
        "history": rng.normal(size=(count, history, 3)),
        "history_valid": np.arange(count) % 2 == 0,
        "audio": np.stack([_rows(12)] * count),
        "source": rng.normal(size=(count, 3)),
    }
    std = np.array([1.0, 0.0, 2.0])  # one dimension never moves
    pixels = drawn(pictures.segments, batch, np.zeros(3), std, "x")
    assert pixels.std() > 10
    assert pixels.shape[1] / pixels.shape[0] == pytest.approx(
        (6.4 * min(2, count) + 0.8) / (3.9 * -(-count // 2) + 0.5), rel=0.01
    )


@pytest.mark.parametrize(
    "seconds",
    [
        {"train": [4.0]},
        {"train": [4.0] * 30, "validation": [4.0]},
        {"train": [0.04, 60.0], "validation": [15.0], "a": [1.0], "b": [2.0], "c": [3.0]},
        {"train": [], "validation": [1.0, 2.0]},
    ],
)
def test_lengths(drawn, seconds):
    pixels = drawn(pictures.lengths, seconds)
    bars = _has(pixels, pictures.BLUE) + _has(pixels, pictures.ACCENT)
    assert pixels.shape == (418, 880, 3) and bars > 1000
