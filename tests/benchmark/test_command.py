"""`jaxgesture benchmark animation` and `motion`."""

import json

import pytest
from cli import calling

from jaxgesture.benchmark import animation, motion
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

    def run(*arguments, subject="animation"):
        status = calling.call("benchmark", subject, *arguments)
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


def test_the_motion_model(benchmark, monkeypatch):
    asked = []

    def measure(config, options, *, progress):
        asked.append((config.model.width, options, progress))
        return MADE_UP

    monkeypatch.setattr(motion, "benchmark", measure)
    status, out, err = benchmark(
        "--torch=eager", "--steps=7", "--animation=a", "--motion=m", "--audio=s.wav",
        "--repeats=2", subject="motion",
    )  # fmt: skip
    assert (status, err) == (0, "") and out.strip() == markdown(MADE_UP).strip()
    wanted = motion.Options(
        ways=("eager",), repeats=2, steps=7, animation="a", motion="m", audio="s.wav"
    )
    assert wanted.batches == (8,) and asked == [(128, wanted, True)]


@pytest.mark.parametrize(
    ("subject", "argument", "message"),
    [
        ("motion", "--steps=0", "sampling steps are 0; choose 1 to 1000"),
        ("motion", "--audio=s.wav", "give --animation and --motion as well"),
        ("motion", "--motion=m", "--motion without --animation"),
        ("motion", "--torch_layout=channels_last", "is not for `benchmark motion`"),
        ("animation", "--steps=3", "--steps is not for `benchmark animation`"),
        ("data", "--batches=3", "--batches is not for `benchmark data`"),
    ],
)
def test_flags_that_do_not_go_together(benchmark, subject, argument, message):
    status, out, err = benchmark(argument, subject=subject)
    assert status == 1 and not out and err.count("\n") == 1 and message in err


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
