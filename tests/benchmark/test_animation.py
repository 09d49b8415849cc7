"""The whole benchmark at the smallest sizes: both sides compute the same, and all is reported."""

import contextlib
import importlib.util
import json

import jax
import numpy as np
import pytest
from benchmark.tiny import LOSSES, make_config, options

from jaxgesture.animation.step import DISCRIMINATOR
from jaxgesture.animation.train import SECTIONS
from jaxgesture.benchmark import animation, compare, environment, jax_side, measure, report
from jaxgesture.benchmark.cases import TRAIN, Case
from jaxgesture.benchmark.compare import Measured
from jaxgesture.benchmark.jax_side import JaxSide
from jaxgesture.benchmark.program import Failure
from jaxgesture.benchmark.sides import make_sides
from jaxgesture.benchmark.subject import make_subject
from jaxgesture.benchmark.subject import notes as notes_on
from jaxgesture.benchmark.timing import Timing
from jaxgesture.core import config as configuration
from jaxgesture.core import meta, tree
from jaxgesture.core.errors import UserError

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="compares with PyTorch")
SAME = 1e-4  # of the outputs' ranges: 8e-6 measured, an animated image


@pytest.fixture(scope="module")
def ran():
    """A run of both sides with all losses: the report, what was run, and JAX's losses."""
    seen = {}

    def remember(config):
        seen["subject"] = make_subject(config)
        return seen["subject"]

    def compared(ours, theirs):
        seen["losses"] = ours
        return difference(ours, theirs)

    difference = compare.difference
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "PEAK_SIZES", (64, 128))
        patch.setattr(compare, "difference", compared)
        patch.setattr(animation, "make_subject", remember)
        # Programs that other runs of the tests compiled will do here.
        patch.setattr(jax_side, "compiling_anew", contextlib.nullcontext)
        found = animation.benchmark(make_config(**LOSSES), options())
    return found, seen["subject"], seen.get("losses")


@pytest.fixture
def found(ran):
    return ran[0]


@pytest.fixture
def subject(ran):
    return ran[1]


@needs_torch
@pytest.mark.slow
def test_both_sides_run_every_case_and_agree(found):
    assert found.sides == ("JAX", "torch eager") and not found.warnings
    cases = [(r.case.task, r.case.batch) for r in found.results]
    assert cases == [("encode_source", 2), ("extract_motion", 2), ("animate", 2), (TRAIN, 2)]
    for result in found.results:
        ours, theirs = (result.sides[name] for name in found.sides)
        assert isinstance(ours, Measured) and isinstance(theirs, Measured), result
        print(result.case, theirs.relative)
        assert theirs.relative <= SAME
        assert result.flops > 0 and ours.memory_bytes > 0 and ours.compile_s > 0
        assert (ours.relative, theirs.compile_s, theirs.memory_bytes) == (None, None, None)
        assert ours.timing.repeats == theirs.timing.repeats == 2
        assert 0 < report.share_of_peak(found, result, "torch eager")
    assert found.peaks.keys() == {"JAX", "torch"}


@needs_torch
@pytest.mark.slow
def test_every_loss_was_compared(ran):
    _, subject, losses = ran
    parts = ("pixel_1", "squared", "motion", "perceptual", "local", "local_style", "adversarial")
    assert losses.keys() == {
        "loss", "psnr", "discriminator_loss", *(f"loss_{part}" for part in parts)
    }  # fmt: skip
    # The next case starts from the same weights: donated buffers were copies.
    assert tree.sha256(subject.state) == tree.sha256(make_subject(make_config(**LOSSES)).state)


@needs_torch
@pytest.mark.slow
def test_the_report_says_where_and_how(found):
    text, content = report.markdown(found), json.loads(report.to_json(found))
    assert content["about"]["torch_device"].endswith("threads")
    assert content["about"]["jax_device"].endswith("threads")
    assert f"{found.results[0].case.task} " in text and "threads" in text
    assert len(content["cases"]) == len(found.results)
    assert len(content["about"]["commit"].split()[0]) == 12


@needs_torch
@pytest.mark.slow
def test_low_precision_is_near(subject):
    case = Case("encode_source", 1, "bfloat16")
    ours, theirs = (side.program(case).output for side in make_sides(subject, ("eager",)).running)
    full = JaxSide(subject).program(Case("encode_source", 1, "float32")).output
    errors = [compare.difference(full, other)[1] for other in (ours, theirs)]
    print(errors)
    assert all(1e-4 < value < compare.BOUNDS["bfloat16"] for value in errors)


@pytest.mark.slow
def test_the_subject_is_what_both_sides_can_do(subject):
    assert subject.training.loss.adversarial_start == 0 and not subject.training.loss.read_out
    assert DISCRIMINATOR in subject.state.networks and set(subject.frozen) == {"vgg19", "vgg16"}
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(subject.state))


def test_notes_on_the_configuration():
    def notes(**changes):
        config = make_config(**changes)
        built = {
            name: configuration.build(cls, config[name], name=name)
            for name, cls in SECTIONS.items()
        }
        return notes_on(built)

    assert notes(**{"loss.read_out": 0.0, "loss.read_out_steps": 0}) == ()
    read_out, start, features = notes(**LOSSES)
    assert "read-out" in read_out and "from the first step" in start
    assert features.startswith("loss.perceptual_weights and loss.local_weights: no file is named")
    named = notes(**LOSSES, **{"loss.perceptual_weights": "a.pth"})
    assert named[-1].startswith("loss.local_weights: no file")
    optimizer, remat = notes(**{"optim.name": "adan", "model.remat": True})[1:]
    assert "Adam, not optim.name='adan'" in optimizer and "model.remat" in remat


@pytest.mark.slow
def test_without_pytorch_jax_runs_alone(subject, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    sides = make_sides(subject, ("eager", "compiled"))
    assert sides.names == ("JAX",) and "pip install torch" in sides.notes[0]


@needs_torch
@pytest.mark.slow
def test_where_nothing_compiles_the_column_stays(subject, monkeypatch):
    from jaxgesture.benchmark import torch_side

    monkeypatch.setattr(torch_side, "prepare_compiling", lambda device: "no g++")
    sides = make_sides(subject, ("eager", "compiled"))
    assert sides.names == ("JAX", "torch eager", "torch compiled")
    assert [side.name for side in sides.running] == ["JAX", "torch eager"]
    assert "(no g++)" in sides.notes[0]


@needs_torch
@pytest.mark.slow
def test_pytorch_that_does_not_see_the_device(subject, monkeypatch):
    from jaxgesture.benchmark import torch_side

    monkeypatch.setattr(torch_side, "device_beside", lambda platform: None)
    sides = make_sides(subject, ("eager",))
    assert sides.names == ("JAX",) and "JAX_PLATFORMS=cpu" in sides.notes[0]


@needs_torch
def test_pytorchs_devices():
    from jaxgesture.benchmark import torch_side

    assert torch_side.device_beside("cpu").type == "cpu"
    assert torch_side.device_beside("tpu") is None


@pytest.mark.slow
def test_nothing_but_failures_is_an_error(subject, monkeypatch):
    def fail(sides, case, repeats, seconds):
        failed = Failure("out of memory", True)
        return compare.Result(case, None, {side.name: failed for side in sides})

    monkeypatch.setattr(animation, "make_subject", lambda config: subject)
    monkeypatch.setattr(compare, "PEAK_SIZES", (64,))
    monkeypatch.setattr(compare, "run_case", fail)
    with pytest.raises(UserError, match="every case failed, the first with: out of memory"):
        animation.benchmark(make_config(), options(ways=()))


@pytest.mark.slow
def test_an_interrupted_run_reports_what_it_has(subject, monkeypatch):
    def run_case(sides, case, repeats, seconds):
        if case.task == "extract_motion":
            raise KeyboardInterrupt
        return compare.Result(case, None, {"JAX": Measured(Timing(1.0, 1.0, 1.0, 3))})

    monkeypatch.setattr(animation, "make_subject", lambda config: subject)
    monkeypatch.setattr(compare, "PEAK_SIZES", (64,))
    monkeypatch.setattr(compare, "run_case", run_case)
    found = animation.benchmark(make_config(), options(ways=()))
    assert [result.case.task for result in found.results] == ["encode_source"]
    assert "Interrupted at extract_motion x 2, float32" in report.markdown(found)


def testcompiling_anew_leaves_the_cache_as_it_was():
    flag = "jax_enable_compilation_cache"
    before = jax.config.values[flag]
    with jax_side.compiling_anew():
        assert not jax.config.values[flag]
    assert jax.config.values[flag] == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batches": ()}, "--batches= must be 1 or more"),
        ({"batches": (0,)}, "must be 1 or more"),
        ({"train_batch": 0}, "must be 1 or more"),
        ({"precisions": ("float23",)}, "--precisions has no 'float23'; did you mean 'float32'"),
        ({"precisions": ()}, "--precisions is empty"),
        ({"ways": ("eager", "eager")}, "names one twice"),
        ({"ways": ("compile",)}, "--torch has no 'compile'; did you mean 'compiled'"),
        ({"repeats": 0}, "leave nothing to measure"),
        ({"seconds": float("nan")}, "leave nothing to measure"),
    ],
)
def test_options_that_cannot_be_run(changes, message):
    with pytest.raises(UserError, match=message):
        options(**changes)


def test_tf32_needs_a_gpu():
    assert measure.precisions_of(None, "cpu") == ("float32", "bfloat16")
    assert measure.precisions_of(None, "gpu") == ("float32", "tf32", "bfloat16")
    with pytest.raises(UserError, match="needs an NVIDIA GPU"):
        measure.precisions_of(("tf32",), "cpu")


def test_the_commit_of_this_clone_and_of_no_clone(tmp_path):
    assert meta.commit(tmp_path) is None
    versions = environment.versions()
    assert versions["jax"] == jax.__version__ and "torch" in versions
