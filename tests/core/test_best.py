"""Which checkpoint is best, and which ones stay, without a run around them."""

import dataclasses
import json
import math

import pytest
from etils import epath

from jaxgesture.core.best import FILE, Scores, best_step
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.retention import CheckpointConfig, Retention


@pytest.fixture
def folder(tmp_path):
    made = epath.Path(tmp_path / "run" / "checkpoints")
    made.mkdir(parents=True)
    return made


def scored(folder, values, mode="max"):
    """Scores of one metric, added step by step."""
    scores = Scores(folder, "psnr", mode)
    for step, value in values.items():
        scores.add(step, {"psnr": value, "loss": 1.0}, values)
    return scores


@pytest.mark.parametrize(
    ("mode", "values", "best"),
    [
        ("max", {2: 1.0, 4: 3.0, 6: 2.0}, 4),
        ("min", {2: 1.0, 4: 3.0, 6: 2.0}, 2),
        ("max", {2: 3.0, 4: 3.0}, 2),  # the first of equals
        ("max", {2: math.inf, 4: 1.0, 6: math.nan}, 4),
        ("min", {2: -math.inf, 4: 1.0}, 4),
        ("max", {2: math.nan}, None),
        ("max", {}, None),
        ("max", {9: 1.0, 10: 1.0, 100: 1.0}, 9),  # in the order of numbers, not of words
    ],
)
def test_the_best_of_all(folder, mode, values, best):
    scores = scored(folder, values, mode)
    assert scores.best(values) == best
    # What is written says the same.
    if best is not None:
        assert best_step(folder, values) == best
        assert Scores(folder, "psnr", mode).best(reversed(values)) == best


def test_only_steps_on_disk_count(folder):
    scores = scored(folder, {2: 1.0, 4: 3.0, 6: 2.0})
    assert scores.best([2, 6, 8]) == 6 and best_step(folder, [2, 8]) == 2
    scores.add(8, {"psnr": 0.5}, [6, 8])
    assert set(json.loads((folder / FILE).read_text())["steps"]) == {"6", "8"}


@pytest.mark.parametrize(
    ("mode", "value", "better"),
    [
        ("max", 3.5, True), ("max", 3.0, False), ("max", 2.0, False), ("max", math.inf, False),
        ("min", 1.0, False), ("min", 0.9, True), ("min", math.nan, False),
    ],
)  # fmt: skip
def test_what_improves_on_the_best(folder, mode, value, better):
    scores = scored(folder, {2: 1.0, 4: 3.0}, mode)
    assert scores.improves({"psnr": value}, [2, 4]) == better
    assert scores.steps.keys() == {"2", "4"}  # asking adds nothing


def test_the_first_number_is_an_improvement_and_none_is_asked_for_without_a_metric(folder):
    assert Scores(folder, "psnr", "max").improves({"psnr": -5.0}, [])
    assert not Scores(folder, "psnr", "max").improves({"psnr": math.nan}, [])
    assert not Scores(folder, "", "max").improves({}, [2])


def test_a_metric_that_nothing_measures(folder):
    with pytest.raises(UserError, match="best_metric='psnr' .* it measures a, b; the same comm"):
        Scores(folder, "psnr", "max").improves({"b": 1, "a": 2}, [])
    with pytest.raises(UserError, match="it measures nothing; "):
        Scores(folder, "psnr", "max").improves({}, [])


def test_another_metric_of_old_evaluations_may_be_asked_for(folder):
    scored(folder, {2: 1.0, 4: 3.0})
    assert Scores(folder, "loss", "min").best([2, 4]) == 2
    assert Scores(folder, "ssim", "max").best([2, 4]) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"steps": []', '{"steps": {"last": {}}}', "3"])
def test_a_damaged_file_names_itself_and_the_way_out(folder, text):
    (folder / FILE).write_text(text)
    for use in (lambda: Scores(folder, "psnr", "max"), lambda: best_step(folder, [2])):
        with pytest.raises(
            UserError, match=r"scores\.json is damaged .*; delete it: the best step"
        ):
            use()


def test_a_run_without_a_best_step_names_its_steps(folder):
    with pytest.raises(UserError, match=r"run has no best step: .* name a step instead, 2, 10"):
        best_step(folder, [10, 2])
    Scores(folder, "", "max").add(2, {"psnr": 1.0}, [2])
    with pytest.raises(UserError, match="had no checkpoint.best_metric"):
        best_step(folder, [2])
    scored(folder, {2: math.nan})
    with pytest.raises(UserError, match="no checkpoint in .*run was evaluated yet; .* instead, 2"):
        best_step(folder, [2])


@dataclasses.dataclass
class Step:
    step: int


def kept(folder, steps, *, values=None, **config):
    settings = CheckpointConfig(**config)
    policy = Retention(settings, scored(folder, values or {}, settings.best_mode))
    flags = policy.should_preserve([Step(step) for step in steps], context=None)
    return [step for step, flag in zip(steps, flags, strict=True) if flag]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"keep": 1}, [6]),
        ({"keep": 2}, [5, 6]),
        ({"keep": 99}, [1, 2, 3, 4, 5, 6]),
        ({"keep": 0}, [1, 2, 3, 4, 5, 6]),
        ({"keep": 1, "keep_every_steps": 2}, [2, 4, 6]),
        ({"keep": 1, "values": {2: 1.0, 3: 9.0}}, [3, 6]),
        ({"keep": 1, "values": {2: 1.0, 3: 9.0}, "best_mode": "min"}, [2, 6]),
        ({"keep": 1, "keep_every_steps": 4, "values": {6: 9.0, 1: 1.0}}, [4, 6]),
    ],
)
def test_what_stays(folder, config, expected):
    assert kept(folder, [1, 2, 3, 4, 5, 6], **config) == expected


def test_the_newest_stay_whatever_else_does(folder):
    for count in range(1, 8):
        for keep in range(1, 4):
            steps = list(range(10, 10 + count))
            found = kept(folder, steps, keep=keep, keep_every_steps=7, values={10: 1.0})
            assert set(steps[-keep:]) <= set(found) and 10 in found


@pytest.mark.parametrize("name", ["every_steps", "keep", "keep_every_steps"])
def test_numbers_below_nothing(name):
    with pytest.raises(UserError, match=f"checkpoint.{name}=-1 must not be negative"):
        CheckpointConfig(**{name: -1})


def test_a_command_that_names_no_metric_keeps_the_one_of_the_run(folder):
    scored(folder, {2: 1.0, 4: 3.0, 6: 2.0}, "min")
    again = Scores(folder, "", "max")
    assert (again.metric, again.mode, again.best([2, 4, 6])) == ("psnr", "min", 2)
    again.add(8, {"psnr": 5.0}, [2, 8])
    assert best_step(folder, [2, 8]) == 2
    assert Scores(folder, "loss", "min").metric == "loss"  # another one may be named
    assert best_step(folder, [2, 8]) == 2  # of equal losses the first


def test_a_run_that_named_no_metric_does_not_end_for_one(folder):
    scored(folder, {2: 1.0})
    with pytest.warns(
        DataWarning, match="best checkpoint by 'psnr', which the evaluation does not"
    ):
        assert not Scores(folder, "", "max").improves({"loss": 1.0}, [2])


def test_a_misspelt_metric_is_not_taken_up_and_its_scores_count(folder):
    Scores(folder, "pnsr", "max").add(2, {"psnr": 3.0}, [2])
    assert json.loads((folder / FILE).read_text())["metric"] == ""
    again = Scores(folder, "", "max")
    assert again.metric == "" and not again.improves({"psnr": 5.0}, [2])
    assert Scores(folder, "psnr", "max").best([2]) == 2
    assert best_step(folder, [2]) == 2  # written at once: the run may have ended


def test_a_file_with_a_metric_and_no_mode(folder):
    (folder / FILE).write_text('{"metric": "psnr", "steps": {}}')
    with pytest.raises(UserError, match="scores.json is damaged .* delete it"):
        Scores(folder, "", "max")


def test_the_largest_loss_is_not_the_best():
    with pytest.raises(UserError, match="keeps the worst checkpoint; set checkpoint.best_mode=min"):
        CheckpointConfig(best_metric="loss")
    CheckpointConfig(best_metric="loss", best_mode="min")
