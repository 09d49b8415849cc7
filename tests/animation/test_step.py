import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from animation.weights import TINY, numpy_variables, pictures

from jaxgesture.animation.losses import LossConfig, motion_weight, reconstruction_loss
from jaxgesture.animation.read_out import ReadOut, read_out_loss
from jaxgesture.animation.step import (
    GENERATOR,
    READ_OUT,
    Training,
    as_image,
    make_init,
    make_opening,
    make_step,
)
from jaxgesture.core import tree
from jaxgesture.core.errors import UserError
from jaxgesture.core.optim import OptimConfig, make_optimizer
from jaxgesture.core.state import create_network, create_state

LOSS = LossConfig(pixel=1.0, squared=2.0, motion=0.5, scales=(1, 2))
OPTIMIZER = make_optimizer(OptimConfig(learning_rate=5e-3, clip_norm=10.0), 1)
STEPS = 60
FALLS_BELOW = 0.25  # of the first loss; measured 0.12


def moving_square(count):
    """The same picture with a bright square at different places."""
    images = np.repeat(pictures(1)[:1], count, 0)
    for i in range(count):
        images[i, 12 + 8 * i : 28 + 8 * i, 10 + 12 * i : 26 + 12 * i] = (1.0, 0.9, 0.2)
    return (images * 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def overfitted():
    """The state before and after training on one batch, and the metrics of every step."""
    frames = moving_square(3)
    batch = {"source": frames[[0, 0, 2]], "driving": frames[[1, 2, 0]]}
    variables = numpy_variables()
    first = create_state(
        **{
            GENERATOR: create_network(
                variables["params"], OPTIMIZER, stats=variables["batch_stats"], ema=True
            )
        }
    )
    step = jax.jit(make_step(Training(TINY, LOSS, OPTIMIZER, ema_decay=0.9)))
    state, metrics = first, []
    for _ in range(STEPS):
        state, values = step(state, batch, jax.random.key(0))
        metrics.append(jax.device_get(values))
    assert step._cache_size() == 1
    return first, state, metrics


@pytest.mark.slow
def test_loss_falls_on_one_batch(overfitted):
    _, _, metrics = overfitted
    losses = [m["loss"] for m in metrics]
    print(f"loss {losses[0]:.4f} to {losses[-1]:.4f}, a fraction of {losses[-1] / losses[0]:.3f}")
    assert np.isfinite([list(m.values()) for m in metrics]).all()
    assert losses[-1] < FALLS_BELOW * losses[0]
    assert metrics[-1]["psnr"] > metrics[0]["psnr"] + 3


@pytest.mark.slow
def test_every_parameter_and_statistic_moves(overfitted):
    before, after, _ = overfitted
    for part in ("params", "stats", "ema"):
        old, new = (
            tree.flatten(getattr(state.networks[GENERATOR], part)) for state in (before, after)
        )
        assert old.keys() == new.keys()
        still = [name for name, leaf in new.items() if np.array_equal(leaf, old[name])]
        assert not still, part
        assert all(np.isfinite(leaf).all() for leaf in new.values())
    assert int(after.step) == STEPS


@pytest.mark.slow
def test_average_trails_the_parameters(overfitted):
    _, after, _ = overfitted
    network = after.networks[GENERATOR]
    kernel, average = (p["decoder"]["conv_img"]["kernel"] for p in (network.params, network.ema))
    assert 0 < np.abs(kernel - average).max() < 0.1


@pytest.mark.slow
def test_metrics_are_the_loss(overfitted):
    _, _, metrics = overfitted
    first = metrics[0]
    terms = {name: first[f"loss_{name}"] for name in ("pixel_1", "pixel_2", "squared", "motion")}
    total = terms["pixel_1"] + terms["pixel_2"] + 2 * terms["squared"] + 0.5 * terms["motion"]
    assert first["loss"] == pytest.approx(total, rel=1e-5)
    assert first["psnr"] == pytest.approx(-10 * np.log10(terms["squared"]), rel=1e-5)
    assert first["grad_norm"] > 0


@pytest.mark.parametrize("ema", [False, True])
def test_init_makes_the_networks_variables(ema):
    training = Training(TINY, LOSS, OPTIMIZER, ema_decay=0.9 if ema else None)
    state = jax.eval_shape(make_init(training), jax.random.key(0))
    network, wanted = state.networks[GENERATOR], numpy_variables()

    def shapes(values):
        return {name: leaf.shape for name, leaf in tree.flatten(values).items()}

    assert shapes(network.params) == shapes(wanted["params"])
    assert shapes(network.stats) == shapes(wanted["batch_stats"])
    assert (network.ema is not None) == ema


def test_pixels_become_floats():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    image = as_image(pixels)
    assert image.dtype == jnp.float32
    assert float(image.min()) == 0 and float(image.max()) == 1
    np.testing.assert_allclose(image, pixels / 255.0, atol=1e-7)


def triple(seed=0):
    generated, real, source = np.random.default_rng(seed).uniform(0, 1, (3, 2, 16, 16, 3))
    return (jnp.asarray(a, jnp.float32) for a in (generated, real, source))


def test_reconstruction_terms_by_hand():
    generated, real, source = triple()
    config = LossConfig(pixel=3.0, squared=0.5, motion=0.25, scales=(1, 2))
    total, terms = reconstruction_loss(generated, real, source, config)
    difference = np.asarray(generated, np.float64) - np.asarray(real)
    blurred = difference
    taps = np.exp(-2.0 * np.arange(-2, 3) ** 2)  # sigma 1/2
    for axis in (1, 2):
        blurred = scipy.ndimage.correlate1d(blurred, taps / taps.sum(), axis, mode="constant")
    change = np.abs(np.asarray(real, np.float64) - np.asarray(source)).mean(-1, keepdims=True)
    window = scipy.ndimage.uniform_filter(change, (1, 5, 5, 1), mode="constant")
    weight = window / window.mean((1, 2, 3), keepdims=True)
    expected = {
        "pixel_1": np.abs(difference).mean(),
        "pixel_2": np.abs(blurred[:, ::2, ::2]).mean(),
        "squared": (difference**2).mean(),
        "motion": (weight * np.abs(difference)).mean(),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(value, rel=1e-4), name
    by_weight = 3 * (expected["pixel_1"] + expected["pixel_2"])
    by_weight += 0.5 * expected["squared"] + 0.25 * expected["motion"]
    assert float(total) == pytest.approx(by_weight, rel=1e-4)


def test_terms_without_weight_are_left_out():
    total, terms = reconstruction_loss(*triple(), LossConfig(scales=(1,)))
    assert set(terms) == {"pixel_1", "squared"}  # the squared one is PSNR
    assert float(total) == float(terms["pixel_1"])


def test_equal_images_cost_nothing_and_only_the_drawn_one_is_pulled():
    generated, real, source = triple()
    config = dataclasses.replace(LOSS, motion=1.0)
    total, _ = reconstruction_loss(real, real, source, config)
    assert float(total) == 0
    gradients = jax.grad(lambda *images: reconstruction_loss(*images, config)[0], (0, 1, 2))(
        generated, real, source
    )
    sizes = [float(jnp.abs(g).max()) for g in gradients]
    assert sizes[0] > 0 and sizes[1:] == [0, 0]


def test_motion_weight_is_where_the_frames_differ():
    still = jnp.full((1, 16, 16, 3), 0.5)
    moved = still.at[:, 4:8, 4:8].set(1.0)
    weight = np.asarray(motion_weight(moved, still))[0, :, :, 0]
    assert weight.mean() == pytest.approx(1, rel=1e-5)
    assert weight[5, 5] > 5 and (weight[12:] == 0).all()
    # A pair that does not move weighs nothing, and divides nothing by zero.
    np.testing.assert_array_equal(motion_weight(still, still), np.zeros((1, 16, 16, 1)))


MOTION = ("extractor/", "motion_decoder/")
READING = Training(
    TINY,
    dataclasses.replace(LOSS, read_out=5.0, read_out_steps=40),
    OPTIMIZER,
    opening_optimizer=OPTIMIZER,
)


@pytest.fixture(scope="module")
def reading():
    """States at the start, when the read-out was trained alone, and two steps later."""
    frames = moving_square(3)
    batch = {"source": frames[[0, 0, 2]], "driving": frames[[1, 2, 0]]}
    shapes = jax.eval_shape(make_init(READING), jax.random.key(0))
    head = shapes.networks[READ_OUT].params
    rng = np.random.default_rng(0)
    head = jax.tree.map(lambda x: jnp.asarray(rng.uniform(-0.1, 0.1, x.shape), x.dtype), head)
    variables = numpy_variables()
    state = create_state(
        **{
            GENERATOR: create_network(
                variables["params"], OPTIMIZER, stats=variables["batch_stats"]
            ),
            READ_OUT: create_network(head, OPTIMIZER),
        }
    )
    states, metrics = [state], []
    for make, count in ((make_opening, 40), (make_step, 2)):
        step = jax.jit(make(READING))
        for _ in range(count):
            state, values = step(state, batch, jax.random.key(0))
            metrics.append(jax.device_get(values))
        assert step._cache_size() == 1
        states.append(state)
    return states, metrics


def moved(before, after, network, part="params"):
    old, new = (tree.flatten(getattr(s.networks[network], part)) for s in (before, after))
    return {name for name, leaf in new.items() if not np.array_equal(leaf, old[name])}, set(new)


@pytest.mark.slow
def test_the_opening_moves_extractor_and_motion_decoder_alone(reading):
    (start, alone, later), _ = reading
    names, everything = moved(start, alone, GENERATOR)
    assert names == {name for name in everything if name.startswith(MOTION)}
    assert moved(start, alone, GENERATOR, "stats")[0] == moved(start, alone, GENERATOR, "stats")[1]
    names, everything = moved(start, alone, READ_OUT)
    assert names == everything
    names, everything = moved(alone, later, GENERATOR)
    assert names == everything
    assert int(later.step) == 42


@pytest.mark.slow
def test_the_opening_moves_nothing_else_by_weight_decay_and_leaves_no_moments(reading):
    (start, alone, _), _ = reading
    decaying = make_optimizer(OptimConfig(name="adamw", learning_rate=5e-3, weight_decay=0.1), 1)
    begun = start.replace(
        networks={
            name: net.replace(opt_state=decaying.init(net.params))
            for name, net in start.networks.items()
        }
    )
    frames = moving_square(2)
    batch = {"source": frames[:1], "driving": frames[1:]}
    opening = make_opening(dataclasses.replace(READING, opening_optimizer=decaying))
    after = jax.jit(opening)(begun, batch, jax.random.key(0))[0]
    names, _ = moved(begun, after, GENERATOR)
    everything = tree.flatten(start.networks[GENERATOR].params)
    assert names == {name for name in everything if name.startswith(MOTION)}
    # The first step of Adam is the learning rate in every weight, also for what waited 40 steps.
    step = jax.jit(make_step(READING))
    first = step(alone, batch, jax.random.key(0))[0]
    old, new = (tree.flatten(s.networks[GENERATOR].params) for s in (alone, first))
    for part in ("decoder/", "extractor/"):
        changes = [np.abs(np.asarray(new[k] - old[k])).ravel() for k in old if k.startswith(part)]
        assert np.median(np.concatenate(changes)) == pytest.approx(5e-3, rel=0.01)


@pytest.mark.slow
def test_the_feature_learns_to_say_what_changed(reading):
    _, metrics = reading
    shares = [m["loss_read_out"] for m in metrics]
    print(f"share of the change unexplained {shares[0]:.3f} to {shares[39]:.3f}")
    assert shares[39] < 0.25  # measured 0.14; 1 is knowing nothing
    assert all(np.isfinite(list(m.values())).all() for m in metrics)
    assert "psnr" not in metrics[39] and metrics[40]["psnr"] > 0
    assert metrics[39]["loss"] < metrics[0]["loss"]


def test_a_cell_is_read_from_the_rotations_around_it():
    """Two convolutions of 3 x 3: what one cell's rotation says reaches two cells and no further."""
    keys = jax.random.split(jax.random.key(0), 3)
    rotation = jax.random.normal(keys[0], (1, 8, 8, 3, 3))
    source = jax.random.uniform(keys[1], (1, 64, 64, 3))
    variables = ReadOut().init(keys[2], rotation, jnp.zeros((1, 3)), source)
    read = functools.partial(ReadOut().apply, variables)

    def reached(first, second):
        changed = np.abs(np.asarray(first - second))[0].max(-1) > 0
        return [tuple(np.nonzero(changed.any(axis))[0][[0, -1]]) for axis in (1, 0)]

    before = read(rotation, jnp.zeros((1, 3)), source)
    after = read(rotation.at[0, 3, 5].add(1.0), jnp.zeros((1, 3)), source)
    assert before.shape == (1, 32, 32, 3)
    assert reached(before, after) == [(4, 23), (12, 31)]  # rows of cells 1 to 5, columns 3 to 7
    after = read(rotation, jnp.zeros((1, 3)), source.at[0, 28, 44].add(1.0))
    assert reached(before, after) == [(4, 23), (12, 31)]
    assert 0 < np.abs(before).max() < 0.2  # measured 0.05: small at first


def test_read_out_share_is_one_for_a_read_out_that_knows_nothing():
    source, driving, _ = triple(1)
    error, share = read_out_loss(jnp.zeros((2, 8, 8, 3)), source, driving)
    assert float(share) == pytest.approx(1, rel=1e-6)
    assert 0 < float(error) < 0.1
    gradient = jax.grad(lambda d: read_out_loss(jnp.zeros((2, 8, 8, 3)), source, d)[0])(driving)
    assert not np.any(np.asarray(gradient))


def test_steps_alone_need_a_weight():
    with pytest.raises(UserError, match="set loss.read_out"):
        LossConfig(read_out_steps=10)
    for value in (-1, float("nan"), float("inf")):
        with pytest.raises(UserError, match="loss.read_out is"):
            LossConfig(read_out=value, read_out_steps=1)
