import numpy as np
import pytest
from animation.training import make_config, write_clips

from jaxgesture.animation.model import load_animation
from jaxgesture.animation.train import (
    EvalConfig,
    evaluation_clip,
    make_optimizers,
    redraw,
    train,
)
from jaxgesture.core import tree
from jaxgesture.core.errors import UserError
from jaxgesture.core.metrics import read_scalars
from jaxgesture.core.optim import OptimConfig
from jaxgesture.motion.model import load_motion

CONTROLS = ("psnr_source_unchanged", "psnr_mean_frame", "psnr_own_mean_frame", "psnr_wrong_driving")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("data") / "frames")


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    """Six steps in one go: the workdir and the final state."""
    workdir = tmp_path_factory.mktemp("whole")
    config = make_config(dataset.directory, **{"train.steps": 6})
    return workdir, train(config, workdir)


@pytest.mark.slow
def test_six_steps_are_three_and_three(dataset, whole, tmp_path):
    states = [
        train(make_config(dataset.directory, **{"train.steps": steps}), tmp_path)
        for steps in (3, 6)
    ]
    assert [int(state.step) for state in states] == [3, 6]
    half, resumed, straight = (tree.flatten(state) for state in (*states, whole[1]))
    assert resumed.keys() == straight.keys()
    for name, leaf in straight.items():
        np.testing.assert_array_equal(np.asarray(resumed[name]), np.asarray(leaf), err_msg=name)
    assert any(not np.array_equal(half[name], leaf) for name, leaf in straight.items())
    losses = [
        {line["step"]: line["train/loss"] for line in read_scalars(workdir) if "train/loss" in line}
        for workdir in (tmp_path, whole[0])
    ]
    assert losses[0] == losses[1] and list(losses[0]) == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_evaluation_is_logged_with_its_controls(whole):
    workdir, _ = whole
    (line,) = [line for line in read_scalars(workdir) if "eval/psnr" in line]
    assert line["step"] == 6
    for name in ("psnr", *CONTROLS):
        assert 0 < line[f"eval/{name}"] < 60, name
    margin = line["eval/psnr"] - line["eval/psnr_mean_frame"]
    assert line["eval/above_mean_frame"] == pytest.approx(margin, abs=1e-4)
    assert "eval/above_wrong_driving" in line
    assert len(list((workdir / "images").glob("reconstruction_0_*.png"))) == 1


@pytest.mark.slow
def test_nothing_left_to_do(dataset, whole, capsys):
    workdir, state = whole
    again = train(make_config(dataset.directory, **{"train.steps": 6}), workdir)
    assert int(again.step) == 6
    assert "nothing to do" in capsys.readouterr().err
    assert sum("eval/psnr" in line for line in read_scalars(workdir)) == 1


@pytest.mark.slow
def test_the_workdir_is_a_model(dataset, whole):
    workdir, state = whole
    animation = load_animation(workdir)
    network = state.networks["generator"]
    loaded, average, last = (
        np.asarray(params["decoder"]["conv_img"]["kernel"])
        for params in (animation.variables["params"], network.ema, network.params)
    )
    np.testing.assert_array_equal(loaded, average)
    assert np.abs(average - last).max() > 0
    frames = dataset.frames(dataset.clip("c"))
    images = redraw(animation, frames[0], frames[:3], batch=2)
    assert images.shape == (3, 64, 64, 3) and np.isfinite(images).all()
    with pytest.raises(UserError, match="holds a model of 'animation'; give one of 'motion'"):
        load_motion(workdir)


@pytest.mark.slow
def test_a_workdir_of_another_configuration(dataset, whole):
    workdir, _ = whole
    for key, value, old in (
        ("optim.learning_rate", 5e-4, "0.001"), ("model.decoder_widths", (8, 8, 8), r"\[16, 8, 8\]")
    ):  # fmt: skip
        with pytest.raises(UserError, match=f"another configuration: {key} was {old}.*--workdir"):
            train(make_config(dataset.directory, **{key: value}), workdir)


def test_evaluation_takes_source_and_mean_from_the_training_part(dataset):
    item = evaluation_clip(dataset, dataset.clip("a.last"), EvalConfig().frames)
    train_frames = dataset.frames(dataset.clip("a"))
    np.testing.assert_array_equal(item.source, train_frames[0])
    np.testing.assert_array_equal(item.frames, dataset.frames(dataset.clip("a.last")))
    np.testing.assert_allclose(item.mean, train_frames.mean(0) / 255)


def test_evaluation_of_a_clip_of_its_own_leaves_the_source_out(dataset):
    frames = dataset.frames(dataset.clip("c"))
    item = evaluation_clip(dataset, dataset.clip("c"), 3)
    np.testing.assert_array_equal(item.source, frames[0])
    np.testing.assert_array_equal(item.frames, frames[[1, 4, 7]])
    np.testing.assert_allclose(item.mean, frames.mean(0) / 255)


def test_errors_before_anything_is_compiled(dataset, tmp_path):
    with pytest.raises(UserError, match="data.directory is empty.*jaxgesture prepare"):
        train(make_config(""), tmp_path)
    with pytest.raises(UserError, match=str(tmp_path / "none")):
        train(make_config(tmp_path / "none"), tmp_path)
    with pytest.raises(UserError, match="64"):
        train(make_config(dataset.directory, **{"model.size": 128}), tmp_path)
    config = make_config(dataset.directory)
    with config.unlocked():
        config.optim.learning_rat = 1.0
    with pytest.raises(UserError, match="optim.learning_rat .*did you mean 'learning_rate'"):
        train(config, tmp_path)
    with config.unlocked():
        config.evl = config.eval
    with pytest.raises(UserError, match="no section 'evl'.*did you mean 'eval'"):
        train(config, tmp_path)
    assert not (tmp_path / "checkpoints").exists()


def test_an_opening_that_leaves_nothing_is_an_error(dataset, tmp_path):
    config = make_config(dataset.directory, **{"train.steps": 2})
    with pytest.raises(UserError, match="loss.read_out_steps=2 .*leave nothing of train.steps=2"):
        train(config, tmp_path)
    with pytest.raises(UserError, match="=500 and a warm-up of 50 steps .*train.steps=540"):
        make_optimizers(OptimConfig(schedule="cosine", warmup_steps=50), 500, 540)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("cosine", (0, 1, 0.5, 0, 1, 0.5)),
        ("step", (0, 1, 1, 0, 1, 0.1)),
        ("constant", (0, 1, 1) * 2),
    ],
)
def test_opening_and_training_have_schedules_of_their_own(schedule, expected):
    """Rates at the start, after the warm-up and half-way through the rest; the peak is 1."""
    optim = OptimConfig(
        name="sgd", b1=0.0, learning_rate=1.0, schedule=schedule, warmup_steps=10, boundaries=(30,)
    )
    optimizer, opening = make_optimizers(optim, 16, 116)
    places = ((opening, (0, 8, 12)), (optimizer, (0, 10, 55)))
    rates, one = [], np.ones((), np.float32)
    for transform, steps in places:
        assert transform is not None
        state = transform.init(one)
        for step in range(max(steps) + 1):
            update, state = transform.update(one, state)
            if step in steps:
                rates.append(-float(update))
    assert rates == pytest.approx(expected, abs=1e-5)
    assert make_optimizers(optim, 0, 116)[1] is None
