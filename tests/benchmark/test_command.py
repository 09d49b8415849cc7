"""`jaxgesture benchmark animation`."""

import json

import pytest
from cli import calling

from jaxgesture.benchmark import animation
from jaxgesture.benchmark.cases import Case
from jaxgesture.benchmark.compare import Measured, Result
from jaxgesture.benchmark.report import Report, markdown
from jaxgesture.benchmark.timing import Timing

ANIMATED = Measured(Timing(0.02, 0.01, 0.03, 5))
MADE_UP = Report(
    "a model", ("JAX",), (Result(Case("animate", 2, "float32"), 1e9, {"JAX": ANIMATED}),), {},
    {"versions": {"jax": "0.10"}},
)  # fmt: skip


@pytest.fixture
def benchmark(capsys):
    """Runs the command; returns its status and what it printed on both streams."""

    def run(*arguments):
        status = calling.call("benchmark", "animation", *arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_tables_and_json(benchmark, tmp_path, monkeypatch):
    asked = []

    def measure(config, options, *, progress):
        asked.append((config.model.size, options, progress))
        return MADE_UP

    monkeypatch.setattr(animation, "benchmark", measure)
    files = [tmp_path / "new" / name for name in ("tables.md", "all.json")]
    status, out, err = benchmark(
        "--torch=none", "--batches=2", "--train_batch=2", "--precisions=float32", "--repeats=1",
        "--seconds=0.5", f"--out={files[0]},{files[1]}",
    )  # fmt: skip
    assert (status, err) == (0, "")
    wanted = animation.Options((2,), 2, ("float32",), (), 1, 0.5)
    assert asked == [(64, wanted, True)]
    assert out.strip() == files[0].read_text().strip() == markdown(MADE_UP).strip()
    assert json.loads(files[1].read_text())["cases"][0]["task"] == "animate"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--batches=1,two", "--batches=1,two must be whole numbers, such as --batches=1,8"),
        ("--out=table.txt", "name a file that ends in .md or .json"),
        ("--precisions=tf32", "tf32, which needs an NVIDIA GPU"),
        ("--torch=jit", "--torch has no 'jit'; known are: compiled, eager"),
        ("--repeats=0", "leave nothing to measure"),
    ],
)
def test_one_line_says_what_is_wrong(benchmark, argument, message):
    status, out, err = benchmark(argument)
    assert status == 1 and not out
    assert err.startswith("jaxgesture: error: ") and err.count("\n") == 1 and message in err
