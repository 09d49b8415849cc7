"""Tables and JSON of made-up numbers."""

import json

import pytest

from jaxgesture.benchmark import report
from jaxgesture.benchmark.cases import Case
from jaxgesture.benchmark.compare import Measured, Result
from jaxgesture.benchmark.program import Failure
from jaxgesture.benchmark.timing import Timing

SIDES = ("JAX", "torch eager", "torch compiled")


def measured(median, **more):
    return Measured(Timing(median, 0.9 * median, 1.1 * median, 7), **more)


@pytest.fixture
def made_up():
    animate = Result(
        Case("animate", 8, "float32"),
        4e9,
        {
            "JAX": measured(0.020, compile_s=3.21, memory_bytes=5 * 2**20),
            "torch eager": measured(0.050, difference=1.5e-4, relative=2e-3),
        },
    )
    train = Result(
        Case("train_step", 4, "bfloat16"),
        None,
        {"JAX": Failure("out of memory", True), "torch eager": Failure("ValueError: no")},
    )
    return report.Report(
        subject="the base model",
        sides=SIDES,
        results=(animate, train),
        peaks={"JAX": {"float32": 400e9}, "torch": {"float32": 100e9}},
        about={"versions": {"jax": "0.10.2", "torch": "2.9.0"}, "cpu_count": 2, "commit": None},
        notes=("torch.compile does not work here",),
        warnings=("animate x 8: other numbers",),
    )


def rows(text):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and "---" not in line
    ]


def test_table_of_times(made_up):
    header, animate, train = rows(report.markdown(made_up))[:3]
    assert dict(zip(header, animate, strict=True)) == {
        "task": "animate", "batch": "8", "precision": "float32",
        "JAX, ms": "20.0 ±10%", "torch eager, ms": "50.0 ±10%", "torch compiled, ms": "-",
        "torch eager / JAX": "2.50", "torch compiled / JAX": "-",
        "difference, torch eager": "2.0e-03", "difference, torch compiled": "-",
    }  # fmt: skip
    assert train[3:] == ["out of memory", "failed", "-", "-", "-", "-", "-"]


def test_table_of_needs(made_up):
    header, ours, theirs = rows(report.markdown(made_up))[3:]
    assert dict(zip(header, ours, strict=True)) == {
        "task": "animate", "batch": "8", "precision": "float32", "GFLOP": "4", "side": "JAX",
        "per s": "400.0", "share of peak": "50%", "memory, MiB": "5", "compile, s": "3.2",
    }  # fmt: skip
    assert theirs[4:] == ["torch eager", "160.0", "80%", "-", "-"]


def test_caption(made_up):
    text = report.markdown(made_up)
    for part in (
        "JAX 400 GFLOP/s in float32; torch 100 GFLOP/s in float32",
        "best large square matrix product", "jax 0.10.2", "torch 2.9.0", "cpu count: 2",
        "commit: unknown", "torch.compile does not work here", "WARNING: animate x 8",
        "train_step x 4, bfloat16, torch eager: ValueError: no", "0.01 in float32",
    ):  # fmt: skip
        assert part in text


def test_columns_line_up(made_up):
    lines = [line for line in report.markdown(made_up).splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines[:4]}) == len({len(line) for line in lines[4:]}) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(12.3456, "12346 "), (0.123456, "123 "), (0.0123, "12.3 "), (5e-6, "0.005 ")],
)
def test_three_digits(made_up, seconds, text):
    result = Result(Case("animate", 1, "float32"), None, {"JAX": measured(seconds)})
    one = report.Report("", ("JAX",), (result,), {}, made_up.about)
    assert rows(report.markdown(one))[1][3].startswith(text)


def test_json(made_up):
    found = json.loads(report.to_json(made_up))
    animate, train = found["cases"]
    assert (animate["task"], animate["batch"], animate["flops"]) == ("animate", 8, 4e9)
    ours, theirs, compiled = (animate["sides"][name] for name in SIDES)
    assert ours["median_s"] == 0.02 and ours["time_ratio"] == 1 and ours["compile_s"] == 3.21
    assert ours["share_of_peak"] == pytest.approx(0.5) and ours["difference"] is None
    assert theirs["time_ratio"] == pytest.approx(2.5) and theirs["per_s"] == pytest.approx(160)
    assert (theirs["difference"], theirs["memory_bytes"], theirs["repeats"]) == (1.5e-4, None, 7)
    assert compiled is None
    assert train["sides"]["JAX"] == {"failed": "out of memory"}
    assert found["warnings"] and found["notes"] and found["about"]["versions"]["jax"] == "0.10.2"


def test_json_knows_no_infinities(made_up):
    side = measured(1.0, difference=float("inf"), relative=float("nan"))
    result = Result(Case("animate", 1, "float32"), 1.0, {"JAX": side})
    found = report.to_json(report.Report("", ("JAX",), (result,), {}, made_up.about))
    assert json.loads(found)["cases"][0]["sides"]["JAX"]["difference"] == "inf"
    assert "Infinity" not in found and "NaN" not in found
