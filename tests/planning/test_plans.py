"""Plans from end to end: searched, refused, told; compiled for what is here and for TPUs."""

import dataclasses
import importlib.util
import json
import warnings

import jax
import pytest
from cli import calling
from planning.texts import PROGRAM, REFUSED
from planning.toys import WIDTH, toy

from jaxgesture.core.errors import UserError
from jaxgesture.core.sharding import MeshConfig
from jaxgesture.planning import chips, hlo, plans, program, report
from jaxgesture.planning.program import Program, TooLarge

HAS_COMPILER = importlib.util.find_spec("libtpu") is not None
SLICE = chips.parse("v5e:4x4")
needs_compiler = pytest.mark.skipif(
    not HAS_COMPILER, reason="libtpu is not installed: no TPU compiler"
)


def canned(rows: int) -> Program:
    # 13.53 M cycles are 9.02 ms on v5e.
    text = hlo.read(PROGRAM.replace('"9000"', '"13524470"'))
    return Program(1.0, 2**30, rows * 2**30, 0, text, 2.0)


def fake_compiler(monkeypatch, most: int):
    def compile_for(subject, grid, batch_size):
        rows = batch_size // 16
        return canned(rows) if rows <= most else TooLarge((rows + 1) * 2**30, 15 * 2**30, 3.0)

    class Grid:
        shape = {"data": 16, "fsdp": 1}

    monkeypatch.setattr(program, "devices", lambda topology: [None] * topology.count)
    monkeypatch.setattr(program, "make_mesh", lambda *arguments: Grid)
    monkeypatch.setattr(program, "compile_for", compile_for)


def made(request: plans.Request):
    said: list[str] = []
    assert isinstance(SLICE, chips.Topology)
    subject = dataclasses.replace(toy(), network="Net")
    return plans.for_slice(subject, SLICE, request, said.append), said


def test_a_plan_of_a_given_batch(monkeypatch):
    fake_compiler(monkeypatch, most=9)
    plan, said = made(plans.Request(batch=32))
    assert plan["rows_per_chip"] == 2 and plan["batch_size"] == 32 and len(said) == 2
    assert plan["compute_seconds"] == pytest.approx((13_524_470 + 5530) / 1.5e9)
    assert plan["step_seconds"] == plan["compute_seconds"] + plan["communication_seconds"]
    assert plan["rows_per_second"] == pytest.approx(32 / plan["step_seconds"])
    assert plan["hours"] == pytest.approx(3600 * plan["step_seconds"] / 3600)
    assert plan["flops"] == 2 * 4 * 32 * 32 * 128 * 9 * 64
    assert sum(plan["bounds"].values()) == pytest.approx(1)
    assert [row["chips"] for row in plan["scaling"]] == [8, 16, 32, 64, 128, 256]
    text = report.text(plan)
    assert "3.00 GiB of 16.00 GiB a chip" in text and "13.00 GiB left" in text
    assert "all-gather: 1" in text and "| encoder " in text and "never run on a TPU" in text
    assert "1 whose turns are not known" in text
    assert "warp: 1 gathers of 40 rows" in text
    assert json.loads(report.to_json(plan))["modules"][0]["name"] == "encoder"


def test_the_largest_batch(monkeypatch):
    fake_compiler(monkeypatch, most=13)
    plan, _ = made(plans.Request(batch=plans.MAX))
    assert plan["rows_per_chip"] == 13 and plan["search_settled"]
    assert plan["memory"]["of"] == 15 * 2**30
    assert "13 a chip; tried 1 fits (2.00 GiB)" in report.text(plan)
    assert "14 does not (15.00 GiB)" in report.text(plan)


def test_what_does_not_fit(monkeypatch):
    fake_compiler(monkeypatch, most=3)
    with pytest.raises(UserError, match=r"5 examples a chip do not fit: 6.00 GiB of 15.00"):
        made(plans.Request(batch=80))


@pytest.mark.parametrize(
    ("batch", "message"),
    [(20, "a batch of 20 does not divide over 16 chips; give --batch=32"), (0, "--batch=0")],
)
def test_batches_that_are_refused(monkeypatch, batch, message):
    fake_compiler(monkeypatch, most=3)
    with pytest.raises(UserError, match=message):
        made(plans.Request(batch=batch))


def test_gpus():
    node = chips.parse("gpu:8xa100")
    assert isinstance(node, chips.Node)
    plan = plans.for_node(toy(), node, plans.Request(batch=plans.MAX, attempts=3), lambda _: None)
    text = report.text(plan)
    request = plans.Request(batch=plans.MAX, attempts=3)
    parts = plans.for_node(dataclasses.replace(toy(), parts=3), node, request, lambda _: None)
    assert parts["search"][0]["rows"] == 3 and parts["rows_per_chip"] % 3 == 0
    assert "nothing compiled and nothing run" in text and "40% of the peak" in text
    assert "activations, an estimate" in text and plan["rows_per_chip"] > 64
    assert json.loads(report.to_json(plan))["topology"] == "gpu:8xa100"


def test_what_the_compiler_says_of_missing_memory():
    found = program.too_large(REFUSED, 1.0)
    assert found == TooLarge(int(20.5 * 2**30), int(15.75 * 2**30), 1.0)
    at_once = (
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
        "temporaries (32.00G) exceeds available HBM (15.75G)."
    )
    assert program.too_large(at_once, 1.0) == TooLarge(32 * 2**30, int(15.75 * 2**30), 1.0)
    assert program.too_large("INTERNAL: something else", 1.0) is None


def test_a_subject_compiles_for_the_device_that_is_here():
    """The same path without a TPU's compiler: one device stands for a slice of one chip."""
    subject = toy()
    grid = program.make_mesh(subject, jax.devices()[:1], None)
    found = program.compile_for(subject, grid, 4)
    assert isinstance(found, Program) and not found.collectives
    assert found.arguments >= subject.state_bytes and found.flops > 0
    with pytest.raises(UserError, match="do not divide 1 device"):
        program.make_mesh(subject, jax.devices()[:1], None, MeshConfig(fsdp=2))


@needs_compiler
def test_the_real_compiler():
    subject = toy()
    assert isinstance(SLICE, chips.Topology)
    slice_ = program.devices(SLICE)
    whole, split = (
        program.compile_for(subject, program.make_mesh(subject, slice_, None, mesh), 32)
        for mesh in (MeshConfig(fsdp=1), MeshConfig(fsdp=16))
    )
    assert isinstance(whole, Program) and isinstance(split, Program)
    plan = plans.compiled_plan(
        subject, SLICE, program.make_mesh(subject, slice_, None), 2, whole, []
    )
    assert whole.cycles > 0 and plan["share_of_peak"] < 1
    assert {"first", "second"} <= {part["name"] for part in plan["modules"]}
    # The gradients are summed over the chips; a split state takes a sixteenth.
    assert whole.collectives["all-reduce"][1] >= 4 * WIDTH**2
    assert split.arguments < whole.arguments / 4
    # Each of the two weights is gathered once, as the step asks, and nothing else is sent about;
    # in bfloat16, in which a TPU multiplies.
    assert split.collectives["all-gather"] == (2, 2 * 2 * WIDTH**2)
    assert split.collectives.keys() == {"all-gather", "all-reduce"}


@needs_compiler
def test_the_real_compiler_refuses_what_is_too_large():
    subject, (chip, *_) = toy(), program.devices(chips.parse("v5e:2x2"))  # pyright: ignore
    grid = program.make_mesh(subject, [chip], None)
    found = program.compile_for(subject, grid, 2**25)
    assert isinstance(found, TooLarge) and found.memory > found.limit > 15 * 2**30


@needs_compiler
def test_a_slice_that_there_is_not():
    with pytest.raises(UserError, match="the compiler knows no such slice"):
        program.devices(chips.parse("v5e:3x5"))  # pyright: ignore


def test_without_the_compiler(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "jaxgesture\[plan\]"'):
        program.devices(chips.parse("v5e:2x2"))  # pyright: ignore


def called(monkeypatch, *arguments):
    monkeypatch.chdir(calling.ROOT)
    with warnings.catch_warnings():
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        return calling.call("plan", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config is missing"),
        (["--config=configs/stage1.py:debug"], "--topology is missing"),
        (["--config=configs/stage1.py:debug", "--topology=v5e:4"], "give NAME:SHAPE"),
        (
            ["--config=configs/stage1.py:debug", "--topology=v5e:2x2", "--batch=many"],
            "--batch=many",
        ),
        (
            ["--config=configs/stage1.py:debug", "--topology=v5e:2x2", "--efficiency=0.5"],
            "for GPUs",
        ),
        (["--config=configs/stage1.py:debug", "--topology=gpu:1xl4", "--efficiency=2"], "no share"),
        (["--config=configs/pose_autoencoder.py:debug", "--topology=v5e:2x2"], "needs no plan"),
    ],
)
def test_what_the_command_refuses(capsys, monkeypatch, arguments, message):
    assert called(monkeypatch, *arguments) == 1
    assert message in capsys.readouterr().err


def test_the_command_for_gpus(capsys, monkeypatch, tmp_path):
    file = tmp_path / "plan.json"
    assert called(
        monkeypatch, "--config=configs/stage2.py:debug", "--topology=gpu:2xl4", f"--json={file}"
    ) == 0  # fmt: skip
    told = capsys.readouterr()
    assert "gpu:2xl4, 2 chips" in told.out and "counting train of motion" in told.err
    assert json.loads(file.read_text())["batch_size"] == 16
