"""Runs of cases on sides that compute nothing: who takes part, what is reported, what fails."""

import importlib.util
import sys
import types

import numpy as np
import pytest
from benchmark.tiny import motion_options, options

import jaxgesture.benchmark
from jaxgesture.benchmark import compare, measure, sides, timing
from jaxgesture.benchmark.cases import Case, make_cases
from jaxgesture.benchmark.program import Failure, Program, failure_of
from jaxgesture.benchmark.report import markdown
from jaxgesture.benchmark.sides import Sides
from jaxgesture.core.errors import UserError

RAMP = np.linspace(0, 1, 5, dtype=np.float32)
CASES = make_cases((2,), 4, ("float32",))


class Side:
    """Gives an array for each task; tasks in `fails` raise what stands there."""

    def __init__(self, name, output=RAMP, fails=None):
        self.name, self.output, self.fails = name, output, fails or {}

    def program(self, case):
        if case.task in self.fails:
            raise self.fails[case.task]
        return Program(lambda: None, {"x": self.output}, compile_s=0.5, flops=1e6)

    def peak(self, precision):
        return lambda n: lambda: None

    def release(self):
        pass


@pytest.fixture
def run(monkeypatch):
    """Measures the cases on sides, JAX first."""
    monkeypatch.setattr(compare, "best_rate", lambda make, sizes, limit: 5e9)
    monkeypatch.setattr(timing, "SETTLE_S", 0.0)
    monkeypatch.setattr(measure.environment.meta, "commit", lambda: "0123456789ab")

    def measured(*running, device="", **more):
        names = tuple(side.name for side in running)
        found = Sides(running, names, (), device)
        return measure.measure("a toy", found, CASES, ("float32",), options(), notes=("first",),
                               progress=False, **more)  # fmt: skip

    return measured


def test_every_case_on_every_side(run):
    found = run(Side("JAX"), Side("torch eager"), device="cpu, 1 threads")
    assert found.subject == "a toy" and found.sides == ("JAX", "torch eager")
    assert [result.case for result in found.results] == CASES
    assert found.peaks == {"JAX": {"float32": 5e9}, "torch": {"float32": 5e9}}
    assert found.about["torch_device"] == "cpu, 1 threads" and found.about["commit"]
    assert (found.notes, found.warnings, found.end_to_end) == (("first",), (), None)


def test_without_pytorch_its_device_is_not_named(run):
    found = run(Side("JAX"))
    assert "torch_device" not in found.about and "torch" not in found.peaks


def test_other_numbers_are_warned_of_at_once_and_in_the_report(run, capsys):
    found = run(Side("JAX"), Side("torch eager", RAMP + RAMP[::-1]))
    assert len(found.warnings) == len(CASES) and "these times do not compare" in found.warnings[0]
    err = capsys.readouterr().err
    assert err.count("jaxgesture: warning: ") == len(CASES) and found.warnings[-1] in err
    assert markdown(found).count("WARNING: ") == len(CASES)


def test_a_case_that_fails_everywhere_leaves_the_others(run):
    broken = {"animate": ValueError("no\nsuch layer")}
    found = run(Side("JAX", fails=broken), Side("torch eager", fails=broken))
    failed = {r.case.task for r in found.results
              if all(isinstance(s, Failure) for s in r.sides.values())}  # fmt: skip
    assert failed == {"animate"}
    assert "animate x 2, float32, JAX: ValueError: no such layer" in markdown(found)


def test_nothing_but_failures_is_an_error(run):
    every = {case.task: MemoryError() for case in CASES}
    with pytest.raises(UserError, match="every case failed, the first with: out of memory; choose"):
        run(Side("JAX", fails=every), Side("torch eager", fails=every))


@pytest.mark.parametrize("number", [1, 3])
def test_ctrl_c_keeps_what_was_measured(run, number):
    task = CASES[number].task
    found = run(Side("JAX", fails={task: KeyboardInterrupt()}))
    assert [result.case for result in found.results] == CASES[:number]
    note = f"Interrupted at {CASES[number]}: this and what follows was not measured."
    assert found.notes == ("first", note)


def test_ctrl_c_before_the_first_case_is_an_interruption(run):
    with pytest.raises(KeyboardInterrupt):
        run(Side("JAX", fails={CASES[0].task: KeyboardInterrupt()}))


@pytest.fixture
def beside(monkeypatch):
    """Which sides run, and why others do not, with the given PyTorch."""
    torch_side = types.SimpleNamespace(
        EAGER="torch eager", COMPILED="torch compiled", device_beside=lambda platform: "here",
        device_name=lambda device: f"{device}, 2 threads", prepare_compiling=lambda device: None,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "jaxgesture.benchmark.torch_side", torch_side)
    monkeypatch.setattr(jaxgesture.benchmark, "torch_side", torch_side, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    made = []

    def find(*ways, **changes):
        for name, value in changes.items():
            setattr(torch_side, name, value)

        def make(device, compiled):
            made.append((device, compiled))
            return Side(torch_side.COMPILED if compiled else torch_side.EAGER)

        return sides.sides_beside(Side("JAX"), ways, make), made

    return find


def test_both_ways_of_pytorch(beside):
    found, made = beside("eager", "compiled")
    assert found.names == ("JAX", "torch eager", "torch compiled") and not found.notes
    assert made == [("here", False), ("here", True)] and len(found.running) == 3
    assert found.torch_device == "here, 2 threads"


def test_where_nothing_compiles_its_column_stays(beside):
    found, made = beside("compiled", prepare_compiling=lambda device: "no g++")
    assert found.names == ("JAX", "torch compiled") and made == []
    assert "(no g++): install a C++ compiler" in found.notes[0]


@pytest.mark.parametrize(
    ("ways", "changes", "note"),
    [
        ((), {}, ""),
        (("eager",), {"device_beside": lambda platform: None}, "cannot run where JAX does (cpu)"),
    ],
)
def test_jax_alone(beside, ways, changes, note):
    found, made = beside(*ways, **changes)
    assert found.names == ("JAX",) and not made and not found.torch_device
    assert note in "".join(found.notes) and bool(note) == bool(found.notes)


def test_pytorch_that_is_not_installed(beside, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found, _ = beside("eager")
    assert found.names == ("JAX",) and "pip install torch" in found.notes[0]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), Failure("out of memory", True)),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            Failure("out of memory", True),
        ),
        (RuntimeError("memory"), Failure("RuntimeError: memory")),
        (AssertionError(), Failure("AssertionError")),
    ],
)
def test_reasons_of_failures(error, expected):
    assert failure_of(error) == expected


def test_a_case_says_what_it_is():
    assert str(Case("animate", 8, "bfloat16")) == "animate x 8, bfloat16"


@pytest.mark.parametrize("make", [options, motion_options], ids=["animation", "motion"])
def test_options_that_both_benchmarks_refuse(make):
    with pytest.raises(UserError, match="--train_batch=-1 must be 1 or more"):
        make(train_batch=-1)
    with pytest.raises(UserError, match="--precisions=float32,float32 names one twice"):
        make(precisions=("float32", "float32"))
    with pytest.raises(UserError, match="--batches=4,0 must be 1 or more, such as --batches=1,8"):
        make(batches=(4, 0))
    assert make(precisions=None, ways=()).precisions is None
