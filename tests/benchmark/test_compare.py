"""Cases on made-up sides: what is compared, what fails, what is warned of."""

import numpy as np
import pytest

from jaxgesture.benchmark import compare
from jaxgesture.benchmark.cases import Case, images, make_cases, training_batch
from jaxgesture.benchmark.program import Failure, Program

CASE = Case("animate", 2, "float32")
RAMP = np.linspace(0, 2, 11, dtype=np.float32)


class FakeSide:
    def __init__(self, name, output=RAMP, error=None, flops=None):
        self.name, self.output, self.error, self.flops = name, output, error, flops
        self.released = 0

    def program(self, case):
        if self.error is not None:
            raise self.error
        return Program(lambda: None, {"image": self.output}, compile_s=1.0, flops=self.flops)

    def peak(self, precision):
        return lambda n: lambda: None

    def release(self):
        self.released += 1


def test_differences_from_the_first_side():
    sides = [FakeSide("JAX", flops=8.0), FakeSide("torch eager", RAMP + np.float32(0.01))]
    result = compare.run_case(sides, CASE, repeats=2, seconds=1.0)
    ours, theirs = (result.sides[side.name] for side in sides)
    assert (result.case, result.flops) == (CASE, 8.0)
    assert (ours.difference, ours.relative, ours.compile_s) == (None, None, 1.0)
    assert theirs.difference == pytest.approx(0.01, rel=1e-4)
    assert theirs.relative == pytest.approx(0.005, rel=1e-4)
    assert compare.warnings_of(result) == []
    assert [side.released for side in sides] == [1, 1]


def test_another_function_is_warned_of():
    sides = [FakeSide("JAX"), FakeSide("torch eager", RAMP[::-1]), FakeSide("torch compiled")]
    (line,) = compare.warnings_of(compare.run_case(sides, CASE, 1, 1.0))
    assert "animate x 2, float32: torch eager gives other numbers" in line and "0.01" in line


@pytest.mark.parametrize("broken", [0, 1])
def test_a_side_that_fails_is_listed(broken):
    sides = [FakeSide("JAX"), FakeSide("torch eager")]
    sides[broken].error = RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
    result = compare.run_case(sides, CASE, 1, 1.0)
    assert result.sides[sides[broken].name] == Failure("out of memory", True)
    rest = result.sides[sides[1 - broken].name]
    assert isinstance(rest, compare.Measured) and rest.difference is None
    assert compare.warnings_of(result) == []


def test_another_shape_is_a_failure():
    sides = [FakeSide("JAX"), FakeSide("torch eager", RAMP[:3])]
    found = compare.run_case(sides, CASE, 1, 1.0).sides["torch eager"]
    assert isinstance(found, Failure) and "(11,) on one side, (3,)" in found.reason


def test_difference():
    a = {"x": np.zeros((2, 2), np.float32), "loss": np.float32(4.0)}
    assert compare.difference(a, a) == (0.0, 0.0)
    assert compare.difference(a, {**a, "loss": np.float32(5.0)}) == (1.0, 0.25)
    assert compare.difference(a, {**a, "x": a["x"] + 1})[1] == np.inf
    nan = {**a, "loss": np.float32(np.nan)}
    assert compare.difference(a, nan) == (np.inf, np.inf)
    with pytest.raises(ValueError, match="on the other"):
        compare.difference(a, {"x": a["x"]})


def test_one_peak_a_framework(monkeypatch):
    monkeypatch.setattr(compare, "best_rate", lambda make, sizes, limit: 3.0)
    steps = []
    sides = [FakeSide("JAX"), FakeSide("torch eager"), FakeSide("torch compiled")]
    found = compare.peaks(sides, ("float32", "bfloat16"), lambda: steps.append(1))
    assert found == {name: {"float32": 3.0, "bfloat16": 3.0} for name in ("JAX", "torch")}
    assert len(steps) == 4


def test_cases():
    cases = make_cases((1, 8), 4, ("float32", "bfloat16"))
    assert len(cases) == len(set(cases)) == 2 * (3 * 2 + 1)
    assert [c.batch for c in cases if c.task == "train_step"] == [4, 4]


def test_pictures_are_smooth_and_seeded():
    pictures = images(3, 64, seed=0)
    assert pictures.shape == (3, 64, 64, 3) and pictures.dtype == np.float32
    assert 0 <= pictures.min() < 0.4 and 0.6 < pictures.max() <= 1
    assert np.abs(np.diff(pictures, axis=1)).max() < 0.2
    np.testing.assert_array_equal(pictures[:2], images(2, 64, seed=0))
    assert np.abs(pictures[0] - pictures[1]).max() > 0.1
    assert np.abs(pictures - images(3, 64, seed=1)).max() > 0.1


def test_training_batch():
    batch = training_batch(2, 64, boxes=True)
    assert {name: (v.shape, v.dtype) for name, v in batch.items()} == {
        "source": ((2, 64, 64, 3), np.uint8),
        "driving": ((2, 64, 64, 3), np.uint8),
        "boxes": ((2, 4, 4), np.float32),
    }
    low, high = batch["boxes"][..., :2], batch["boxes"][..., 2:]
    assert low.min() >= 0 and high.max() <= 1 and (high - low).min() > 0.1
    assert set(training_batch(1, 64, boxes=False)) == {"source", "driving"}
