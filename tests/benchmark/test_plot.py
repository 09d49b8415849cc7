"""The picture of made-up times."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from jaxgesture.benchmark import plot
from jaxgesture.benchmark.cases import Case
from jaxgesture.benchmark.compare import Measured, Result
from jaxgesture.benchmark.program import Failure
from jaxgesture.benchmark.report import Report
from jaxgesture.benchmark.timing import Timing
from jaxgesture.core.errors import UserError


def timed(seconds):
    return Measured(Timing(seconds, 0.9 * seconds, 1.1 * seconds, 5))


def result(precision, sides):
    return Result(Case("animate", 8, precision), None, sides)


def made_up(*results, sides=("JAX", "torch eager")):
    return Report("the base model", sides, results, {}, {})


def lengths(path):
    """The widest run of each side's colour in the picture, in pixels."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    found = []
    for colour in plot.COLOURS[:2]:
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        found.append((np.abs(picture - rgb).max(-1) < 12).sum(1).max())
    return found


def test_the_faster_side_has_the_shorter_bar(tmp_path):
    fast = made_up(result("float32", {"JAX": timed(0.01), "torch eager": timed(0.1)}))
    plot.bars(fast, tmp_path / "fast.png")
    slow = made_up(result("float32", {"JAX": timed(0.1), "torch eager": timed(0.01)}))
    plot.bars(slow, tmp_path / "slow.png")
    ours, theirs = lengths(tmp_path / "fast.png")
    assert 20 < ours < theirs
    ours, theirs = lengths(tmp_path / "slow.png")
    assert ours > theirs > 20


def test_a_panel_for_each_precision_and_failures_in_words(tmp_path):
    sides = {"JAX": timed(0.01), "torch eager": Failure("RuntimeError: no", True)}
    one = made_up(result("float32", sides))
    both = dataclasses.replace(one, results=(*one.results, result("bfloat16", sides)))
    for name, report in (("one.png", one), ("both.png", both)):
        plot.bars(report, tmp_path / name)
    sizes = [Image.open(tmp_path / name).size for name in ("one.png", "both.png")]
    assert sizes[1][0] == pytest.approx(2 * sizes[0][0], rel=0.01)
    ours, theirs = lengths(tmp_path / "one.png")
    assert theirs < ours  # no bar, only the square in the legend and the words


def test_nothing_to_draw(tmp_path):
    with pytest.raises(UserError, match="nothing was measured"):
        plot.bars(made_up(), tmp_path / "none.png")
