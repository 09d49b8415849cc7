"""The benchmark of the motion model at the smallest sizes: both sides compute the same."""

import contextlib
import dataclasses
import importlib.util

import numpy as np
import pytest
from benchmark.tiny import make_config, motion_config, motion_options

from jaxgesture.benchmark import compare, jax_side, measure, motion, motion_cases, report
from jaxgesture.benchmark.cases import TRAIN, Case
from jaxgesture.benchmark.compare import Measured
from jaxgesture.benchmark.end_to_end import EndToEnd
from jaxgesture.benchmark.motion_cases import DENOISE, GUIDED, SEGMENT, SPEECH
from jaxgesture.benchmark.motion_jax import MotionJaxSide
from jaxgesture.benchmark.motion_subject import make_subject
from jaxgesture.core import tree
from jaxgesture.core.errors import UserError

HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="compares with PyTorch")
MADE_UP = report.Report("a model", ("JAX",), (), {}, {"versions": {"jax": "0.10"}})
SAME = 1e-5  # of the outputs' ranges: 4e-7 measured, a training step's losses


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(compare, "PEAK_SIZES", (64,))
    # Programs that other runs of the tests compiled will do here.
    monkeypatch.setattr(jax_side, "compiling_anew", contextlib.nullcontext)


@pytest.fixture(scope="module")
def subject():
    return make_subject(motion_config())


@needs_torch
@pytest.mark.slow
def test_both_sides_run_every_case_and_agree():
    found = motion.benchmark(motion_config(), motion_options())
    assert found.sides == ("JAX", "torch eager") and not found.warnings
    cases = [(result.case.task, result.case.batch) for result in found.results]
    # 15 frames are two segments of 8.
    assert cases == [(DENOISE, 2), (GUIDED, 2), (SEGMENT, 1), (SPEECH, 2), (TRAIN, 4)]
    flops = {}
    for result in found.results:
        ours, theirs = (result.sides[name] for name in found.sides)
        assert isinstance(ours, Measured) and isinstance(theirs, Measured), result
        print(result.case, theirs.relative)
        assert theirs.relative <= SAME
        flops[result.case.task] = result.flops
    assert all(value > 0 for value in flops.values())
    assert flops[SPEECH] == pytest.approx(2 * flops[SEGMENT])
    text = report.markdown(found)
    assert "3 steps of DDIM" in text and "channels_first" not in text


def side_by_side(subject, case):
    from jaxgesture.benchmark.motion_torch import MotionTorchSide
    from jaxgesture.benchmark.torch_side import device_beside

    device = device_beside("cpu")
    return MotionJaxSide(subject, 2), MotionTorchSide(subject, device, False, 2)


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"model.representation": "euler"}, {"model.history_frames": 0}]
)
def test_other_representations_and_no_history(changes):
    case = Case(SPEECH, 2, "float32")
    ours, theirs = side_by_side(make_subject(motion_config(**changes)), case)
    one, other = ours.program(case).output, theirs.program(case).output
    assert one[SPEECH].shape == (16, 21)
    assert compare.difference(one, other)[1] <= SAME


@needs_torch
@pytest.mark.slow
def test_what_is_compared_is_what_the_weights_make_of_the_inputs(subject):
    """Neither side may compare equal because its output does not depend on anything."""
    case = Case(GUIDED, 1, "float32")
    ours, theirs = side_by_side(subject, case)
    plain = ours.program(Case(DENOISE, 1, "float32")).output[DENOISE]
    both = theirs.program(case).output[GUIDED]
    assert np.abs(plain - both).max() > 1e-3 * np.ptp(plain)
    low = ours.program(Case(GUIDED, 1, "bfloat16")).output
    apart = compare.difference(low, {GUIDED: both})[1]
    assert 1e-4 < apart < compare.BOUNDS["bfloat16"]


@pytest.mark.slow
def test_operations_of_sampling_grow_with_the_steps(subject):
    case = Case(SEGMENT, 1, "float32")
    few, more = (MotionJaxSide(subject, n).program(case).flops for n in (2, 4))
    guided = MotionJaxSide(subject, 2).program(Case(GUIDED, 1, "float32")).flops
    assert few is not None and more is not None and guided is not None
    step = (more - few) / 2
    # A step is the guided pass without the audio encoder, and the sampler's own arithmetic.
    assert 0.5 * guided < step < 1.3 * guided


@pytest.mark.slow
def test_the_training_step_leaves_the_subject_as_it_was(subject):
    before = tree.sha256(subject.state)
    program = MotionJaxSide(subject, 2).program(Case(TRAIN, 4, "float32"))
    first, second = (float(program.call()["loss"]) for _ in range(2))
    assert first != second and tree.sha256(subject.state) == before
    assert program.output.keys() == {"loss", "position", "velocity", "acceleration"}


def test_made_up_motion_is_motion(subject):
    config = subject.config
    made = motion_cases.features(config, 5)
    assert made["motion"].shape == (5, 8, 21) and made["history_valid"].tolist()[3:] == [
        False,
        True,
    ]
    blocks = made["motion"][..., :18].reshape(-1, 3, 3)
    squares = blocks @ blocks.transpose(0, 2, 1)
    assert np.abs(squares - np.eye(3)).max() < 1e-5
    np.testing.assert_array_equal(made["history"][:, -1], made["previous"][:, -1])
    assert np.abs(np.diff(made["motion"], axis=1)).max() < 0.6
    np.testing.assert_array_equal(made["audio"][:2], motion_cases.features(config, 2)["audio"])


def test_the_noise_is_that_of_the_package(subject):
    config = subject.config
    first, second = (motion_cases.segment_noise(config, n) for n in (0, 1))
    assert first(3).shape == (1, 8, 21)
    np.testing.assert_array_equal(first(3), first(3))
    assert (first(3) != first(2)).all() and (first(3) != second(3)).all()


def test_a_video_that_fails_leaves_the_rest(subject, monkeypatch):
    def prepare(*names, **options):
        assert names == ("a", "m", None) and options == {"steps": 3, "runs": 2}
        return fail

    def fail():
        raise UserError("the disk is full")

    monkeypatch.setattr(motion.end_to_end, "prepare", prepare)
    monkeypatch.setattr(motion, "make_subject", lambda config: subject)
    monkeypatch.setattr(motion.measure, "measure", lambda *arguments, **options: MADE_UP)
    options = motion_options(animation="a", motion="m", ways=())
    found = motion.benchmark(None, options)
    assert found.warnings == ("end to end failed: the disk is full",)
    video = EndToEnd({"render": 0.5}, {"render": 2.0}, 50, 2, "tiny")
    monkeypatch.setattr(motion.end_to_end, "prepare", lambda *names, **options: lambda: video)
    assert motion.benchmark(None, options).end_to_end is video


def test_table_of_a_video():
    video = EndToEnd(
        {"features": 0.1, "motion": 0.2, "render": 0.6, "encode": 0.1},
        {"features": 1.1, "motion": 2.2, "render": 3.6, "encode": 0.1}, 50, 3, "64 pixels",
    )  # fmt: skip
    text = report.markdown(dataclasses.replace(MADE_UP, end_to_end=video))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert ["render", "0.6", "60%", "3.6"] in rows and ["all", "1", "100%", "7"] in rows
    assert "of 2 s of video, 25.0 frames a second, 64 pixels; median of 3 runs" in text
    assert '"render": 0.6' in report.to_json(dataclasses.replace(MADE_UP, end_to_end=video))
    assert "end to end" not in report.markdown(MADE_UP)
    assert "end_to_end" not in report.to_json(MADE_UP)


def test_a_busy_machine_is_named(monkeypatch):
    monkeypatch.setattr(measure.environment, "load", lambda: 100.0)
    (note,) = measure.busy()
    assert "(load 100.0): run it again alone" in note
    monkeypatch.setattr(measure.environment, "load", lambda: 0.0)
    assert measure.busy() == []


def test_the_wrong_stage():
    with pytest.raises(UserError, match="takes a configuration of stage 2"):
        motion.benchmark(make_config(), motion_options())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "sampling steps are 0"),
        ({"speech": 0.0}, "choose more than 0"),
        ({"animation": "a"}, "--animation without --motion"),
        ({"audio": "x.wav"}, "--audio is for whole videos"),
        ({"batches": (0,)}, "must be 1 or more"),
    ],
)
def test_options_that_cannot_be_run(changes, message):
    with pytest.raises(UserError, match=message):
        motion_options(**changes)
