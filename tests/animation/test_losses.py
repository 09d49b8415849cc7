"""Perceptual, local and adversarial losses in the training step, and what they refuse."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from animation.training import ALL_LOSSES, make_config, write_clips
from animation.weights import TINY, numpy_variables, pictures

from jaxgesture.animation import losses
from jaxgesture.animation.discriminator import DiscriminatorConfig
from jaxgesture.animation.losses import LossConfig, feature_loss, load_frozen, local_loss
from jaxgesture.animation.step import (
    DISCRIMINATOR,
    GENERATOR,
    Training,
    make_init,
    make_step,
)
from jaxgesture.animation.train import SECTIONS, discriminator_optimizer, make_training, train
from jaxgesture.core import config as configuration
from jaxgesture.core import rng, tree
from jaxgesture.core.errors import UserError
from jaxgesture.core.metrics import read_scalars
from jaxgesture.core.optim import OptimConfig, make_optimizer
from jaxgesture.core.sharding import make_mesh
from jaxgesture.core.state import create_network, create_state, initialize

NAN = float("nan")
ABSENT = [NAN] * 4
HAND, FACE, LIPS = [0.1, 0.5, 0.4, 0.9], [0.4, 0.1, 0.7, 0.4], [0.5, 0.3, 0.6, 0.35]
RANDOM = {"perceptual_weights": "random", "local_weights": "random"}
CRITIC = DiscriminatorConfig(widths=(8, 8), kernel=3, strides=(2, 2))
RATE = 1e-3


@pytest.fixture(scope="module")
def frozen():
    return load_frozen(LossConfig(perceptual=1, local=1, **RANDOM))[0]


def pair(dtype=jnp.float32):
    return (jnp.asarray(pictures(2, seed), dtype) for seed in (0, 1))


def boxes(*rows):
    return jnp.asarray(rows, jnp.float32)


def test_networks_are_loaded_for_the_losses_that_need_them():
    assert load_frozen(LossConfig()) == ({}, {})
    frozen, about = load_frozen(LossConfig(local_style=1.0, local_weights="random"))
    assert set(frozen) == {"vgg16"}
    assert about["feature_networks"] == {"vgg16": {"source": "random", "sha256": ""}}
    assert about["frozen_sha256"] == tree.sha256(frozen)
    json.dumps(about)
    both, more = load_frozen(LossConfig(perceptual=1.0, local=1.0, **RANDOM))
    assert set(both) == {"vgg16", "vgg19"} and more["frozen_sha256"] != about["frozen_sha256"]


@pytest.mark.parametrize(
    ("weights", "file", "key"),
    [
        ({"perceptual": 10.0}, "vgg19-dcbb9e9d.pth", "loss.perceptual_weights"),
        ({"local": 1.0}, "vgg16-397923af.pth", "loss.local_weights"),
        ({"local_style": 1.0}, "vgg16-397923af.pth", "loss.local_weights"),
    ],
)
def test_without_a_file_the_loss_is_refused(weights, file, key, tmp_path):
    with pytest.raises(UserError, match=f"{key}.*{file}.*--config.{key}=PATH.*random"):
        load_frozen(LossConfig(**weights))
    with pytest.raises(UserError, match=f"--config.{key}=.*nothing.pth: there is no such file"):
        name = key.removeprefix("loss.")
        load_frozen(LossConfig(**weights, **{name: str(tmp_path / "nothing.pth")}))


def test_global_loss_is_weighted_and_pulls_the_generated_image_alone(frozen):
    generated, real = pair()
    config = LossConfig(perceptual=3.0, scales=(1, 2), **RANDOM)

    @jax.jit
    def both(generated, real):
        value = lambda *x: feature_loss(frozen, *x, None, config)  # noqa: E731
        (total, terms), grads = jax.value_and_grad(value, (0, 1), has_aux=True)(generated, real)
        return total, terms, grads

    total, terms, (pulled, still) = both(generated, real)
    assert set(terms) == {"perceptual"}
    assert float(total) == pytest.approx(3 * float(terms["perceptual"]), rel=1e-6)
    assert float(total) > 0 and np.abs(pulled).max() > 0 and not np.abs(still).max()
    assert float(both(real, real)[0]) < 1e-5 * float(total)  # the two passes round differently


def test_local_loss_is_the_mean_over_boxes_with_absent_ones_as_zero(frozen):
    generated, real = pair()
    value = jax.jit(lambda b: local_loss(frozen["vgg16"], generated, real, b, 16))

    def only(image, box):
        rows = [[ABSENT] * 4, [ABSENT] * 4]
        rows[image] = [box, ABSENT, ABSENT, ABSENT]
        return value(boxes(*rows))

    parts = [only(0, HAND), only(0, FACE), only(1, FACE)]
    mixed = value(boxes([ABSENT, HAND, FACE, LIPS], [ABSENT, ABSENT, FACE, ABSENT]))
    for name in ("local", "local_style"):
        wanted = np.sum([float(part[name]) for part in parts])
        assert float(mixed[name]) == pytest.approx(wanted, rel=1e-5), name
        assert wanted > 0
    lips_alone = value(boxes(*[[ABSENT, ABSENT, ABSENT, LIPS]] * 2))
    nothing = value(boxes(*[[ABSENT] * 4] * 2))
    assert {float(v) for v in (*lips_alone.values(), *nothing.values())} == {0.0}


def test_absent_boxes_have_no_gradient_and_no_nan(frozen):
    generated, real = pair()
    gradient = jax.jit(
        jax.grad(
            lambda x, b: sum(local_loss(frozen["vgg16"], x, real, b, 16).values()),
        )
    )
    some = np.asarray(gradient(generated, boxes([HAND, ABSENT, ABSENT], [ABSENT] * 3)))
    assert np.isfinite(some).all()
    assert np.abs(some[0]).max() > 0 and not np.abs(some[1]).max()
    assert not np.abs(some[0, :20]).max()  # above the box
    none = np.asarray(gradient(generated, boxes([ABSENT] * 3, [ABSENT] * 3)))
    assert not np.abs(none).max()


@pytest.fixture(scope="module")
def adversarial():
    """States and metrics of four steps; the discriminator begins at the third."""
    loss = LossConfig(pixel=1.0, scales=(1,), adversarial=0.5, adversarial_start=2)
    optimizer = make_optimizer(OptimConfig(learning_rate=RATE), 1)
    training = Training(
        TINY, loss, optimizer, discriminator=CRITIC, discriminator_optimizer=optimizer
    )
    shapes = jax.eval_shape(make_init(training), jax.random.key(0)).networks[DISCRIMINATOR]
    rng = np.random.default_rng(0)
    critic, stats = jax.tree.map(
        lambda x: jnp.asarray(rng.uniform(-0.3, 0.3, x.shape), x.dtype),
        (shapes.params, shapes.stats),
    )
    variables = numpy_variables()
    state = create_state(
        **{
            GENERATOR: create_network(
                variables["params"], optimizer, stats=variables["batch_stats"]
            ),
            DISCRIMINATOR: create_network(critic, optimizer, stats=stats),
        }
    )
    frames = (pictures(4) * 255).round().astype(np.uint8)
    batch = {"source": frames[:2], "driving": frames[2:]}
    step = jax.jit(make_step(training))
    states, metrics = [state], []
    for _ in range(4):
        state, values = step(state, batch, jax.random.key(0))
        states.append(state)
        metrics.append(jax.device_get(values))
    assert step._cache_size() == 1
    return states, metrics


def changed(before, after, network):
    old, new = (tree.flatten(s.networks[network]) for s in (before, after))
    return {name for name in new if not np.array_equal(old[name], new[name])}


@pytest.mark.slow
def test_the_discriminator_begins_when_it_should(adversarial):
    states, metrics = adversarial
    for before, after in zip(states[:2], states[1:3], strict=True):
        assert changed(before, after, GENERATOR) and not changed(before, after, DISCRIMINATOR)
    moved = changed(states[2], states[3], DISCRIMINATOR)
    everything = set(tree.flatten(states[2].networks[DISCRIMINATOR]))
    assert moved == everything
    for i, values in enumerate(metrics):
        active = 0.5 * values["loss_adversarial"] if i >= 2 else 0.0
        assert values["loss"] == pytest.approx(values["loss_pixel_1"] + active, rel=1e-5)
        assert np.isfinite(list(values.values())).all()
    assert metrics[3]["discriminator_loss"] < metrics[2]["discriminator_loss"]


@pytest.mark.slow
def test_the_first_step_of_the_discriminator_is_a_first_step(adversarial):
    """Adam's first step is the rate in every weight: it has not counted the steps before."""
    states, _ = adversarial
    old, new = (tree.flatten(s.networks[DISCRIMINATOR].params) for s in states[2:4])
    changes = np.concatenate([np.abs(np.asarray(new[k] - old[k])).ravel() for k in new])
    assert np.median(changes) == pytest.approx(RATE, rel=0.01)


def test_the_discriminators_optimiser_counts_from_its_own_beginning():
    optim = OptimConfig(
        name="sgd", b1=0.0, learning_rate=2.0, schedule="step", boundaries=(3, 8), warmup_steps=2
    )
    loss = LossConfig(adversarial=1.0, adversarial_start=5, discriminator_rate=0.25)

    def rates(loss):
        optimizer = discriminator_optimizer(optim, loss, 100)
        state, found = optimizer.init(jnp.zeros(())), []
        for _ in range(5):
            update, state = optimizer.update(jnp.ones(()), state)
            found.append(-float(update))
        return np.round(found, 6).tolist()

    # The boundary at 3 is passed, that at 8 comes after three steps.
    assert rates(loss) == [0.05, 0.05, 0.05, 0.005, 0.005]
    assert rates(dataclasses.replace(loss, adversarial_start=0))[:4] == [0.5, 0.5, 0.5, 0.05]
    assert discriminator_optimizer(optim, LossConfig(), 100) is None
    with pytest.raises(UserError, match="loss.adversarial_start"):
        discriminator_optimizer(optim, loss, 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"perceptual": -1.0}, "loss.perceptual is -1"),
        ({"adversarial": float("nan")}, "loss.adversarial is nan"),
        ({"scales": ()}, "loss.scales"),
        ({"adversarial_start": -1}, "loss.adversarial_start"),
        ({"local_size": 4}, "VGG-16 needs 8"),
    ],
)
def test_impossible_weights(changes, message):
    with pytest.raises(UserError, match=message):
        LossConfig(**changes)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("data") / "frames", boxes=True)


@pytest.mark.slow
def test_a_run_with_all_losses_resumes_exactly_and_says_what_judged_it(clips, tmp_path):
    def run(workdir, steps):
        return train(make_config(clips.directory, **ALL_LOSSES, **{"train.steps": steps}), workdir)

    straight = run(tmp_path / "whole", 4)
    run(tmp_path / "halves", 2)
    resumed = run(tmp_path / "halves", 4)
    ours, theirs = (tree.flatten(jax.device_get(state)) for state in (straight, resumed))
    assert ours.keys() == theirs.keys() and any(k.startswith("networks/disc") for k in ours)
    for name, leaf in ours.items():
        np.testing.assert_array_equal(leaf, theirs[name], err_msg=name)
    metas = list((tmp_path / "whole" / "checkpoints").rglob("meta/*"))
    text = "\n".join(path.read_text() for path in metas if path.is_file())
    assert '"vgg19": {"source": "random"' in text.replace("\n", "")
    config = make_config(clips.directory, **{**ALL_LOSSES, "train.steps": 4, "loss.local": 0.0})
    with pytest.raises(UserError, match="loss.local was 0.1, now 0.0"):
        train(config, tmp_path / "whole")


@pytest.mark.slow
def test_a_run_in_low_precision_keeps_float32_and_moves_everything(clips, tmp_path):
    changes = {"model.dtype": "bfloat16", "loss.adversarial_start": 0, "loss.local_style": 1.0}
    config = make_config(clips.directory, **{**ALL_LOSSES, **changes, "train.steps": 3})
    after = train(config, tmp_path)
    parts = {key: configuration.build(cls, config[key], name=key) for key, cls in SECTIONS.items()}
    key = rng.stream(jax.random.key(config.train.seed), "init")
    before = initialize(make_init(make_training(parts)), key, make_mesh(parts["mesh"]))
    old, new = (tree.flatten(jax.device_get(state)) for state in (before, after))
    assert old.keys() == new.keys()
    assert {leaf.dtype.name for leaf in new.values()} <= {"float32", "int32"}
    assert all(np.isfinite(leaf).all() for leaf in new.values())
    # Of a bias in front of a normalisation, rounding alone makes a gradient; it is coarse here.
    assert [name for name in new if np.array_equal(new[name], old[name])] == []
    lines = read_scalars(tmp_path)
    assert [line["step"] for line in lines if "train/loss" in line] == [1, 2, 3]
    assert all(np.isfinite(list(line.values())).all() for line in lines)


def test_a_local_loss_needs_boxes(tmp_path):
    data = write_clips(tmp_path / "frames")
    with pytest.raises(UserError, match="boxes"):
        train(make_config(data.directory, **ALL_LOSSES, **{"train.steps": 2}), tmp_path / "run")


def test_the_parts_that_are_looked_at_are_hands_and_face():
    from jaxgesture.data.boxes import PARTS

    assert PARTS[losses.LOCAL_PARTS] == ("left_hand", "right_hand", "face")
