"""Batches in parts: the step of a batch is the mean of the steps of its parts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from animation.training import MODEL
from animation.weights import numpy_variables, pictures

from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.discriminator import DiscriminatorConfig
from jaxgesture.animation.losses import LossConfig
from jaxgesture.animation.step import DISCRIMINATOR, GENERATOR, Training, make_init, make_step
from jaxgesture.core import tree
from jaxgesture.core.optim import OptimConfig, make_optimizer
from jaxgesture.core.state import create_network

SGD = make_optimizer(OptimConfig(name="sgd", learning_rate=1.0, b1=0.0), 1)
CONFIG = AnimationConfig(**MODEL)


def stepped(training, batch):
    """The state before and after a step, and its metrics."""
    shapes = jax.eval_shape(make_init(training), jax.random.key(0))
    rng = np.random.default_rng(0)
    state = jax.tree.map(lambda x: jnp.asarray(rng.uniform(-0.3, 0.3, x.shape), x.dtype), shapes)
    variables = numpy_variables(training.model)
    networks = dict(state.networks)
    networks[GENERATOR] = create_network(
        variables["params"], SGD, stats=variables["batch_stats"], ema=False
    )
    state = state.replace(step=jnp.zeros((), jnp.int32), networks=networks)
    after, metrics = jax.jit(make_step(training))(state, batch, jax.random.key(0))
    return state, after, jax.device_get(metrics)


@pytest.mark.slow
def test_the_step_of_a_batch_is_the_mean_of_the_steps_of_its_parts():
    frames = (pictures(8) * 255).round().astype(np.uint8)
    batch = {"source": frames[:4], "driving": frames[4:]}
    plain = Training(CONFIG, LossConfig(pixel=1.0, squared=1.0, scales=(1,)), SGD)
    parts = [{name: rows[i::2] for name, rows in batch.items()} for i in range(2)]
    start, whole, seen = stepped(dataclasses.replace(plain, accumulate=2), batch)
    halves = [stepped(plain, part)[1:] for part in parts]
    for name in ("loss", "loss_pixel_1", "loss_squared"):
        mean = np.mean([metrics[name] for _, metrics in halves])
        np.testing.assert_allclose(seen[name], mean, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(seen["psnr"], -10 * np.log10(seen["loss_squared"]), rtol=1e-5)
    before = tree.flatten(start.networks[GENERATOR].params)
    after = tree.flatten(whole.networks[GENERATOR].params)
    others = [tree.flatten(state.networks[GENERATOR].params) for state, _ in halves]
    most = max(np.abs(leaf - before[name]).max() for name, leaf in after.items())
    for name, leaf in after.items():
        mean = (others[0][name] + others[1][name]) / 2
        np.testing.assert_allclose(leaf, mean, rtol=0, atol=1e-4 * most + 1e-6, err_msg=name)
    # The running statistics have seen both parts, one after the other.
    stats = tree.flatten(whole.networks[GENERATOR].stats)
    first = tree.flatten(halves[0][0].networks[GENERATOR].stats)
    assert any(not np.allclose(leaf, first[name]) for name, leaf in stats.items())


@pytest.mark.slow
def test_the_discriminator_looks_at_all_parts():
    frames = (pictures(8) * 255).round().astype(np.uint8)
    batch = {"source": frames[:4], "driving": frames[4:]}
    loss = LossConfig(pixel=1.0, scales=(1,), adversarial=0.5)
    critic = DiscriminatorConfig(widths=(8, 8), kernel=3, strides=(2, 2))
    training = Training(
        CONFIG, loss, SGD, discriminator=critic, discriminator_optimizer=SGD, accumulate=4
    )
    start, after, metrics = stepped(training, batch)
    assert np.isfinite(list(metrics.values())).all() and metrics["grad_norm_discriminator"] > 0
    old, new = (tree.flatten(state.networks[DISCRIMINATOR]) for state in (start, after))
    assert all(not np.array_equal(leaf, old[name]) for name, leaf in new.items())
