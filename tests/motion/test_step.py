import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from motion.weights import numpy_params

from jaxgesture.core import tree
from jaxgesture.core.optim import OptimConfig, make_optimizer
from jaxgesture.core.state import create_network, create_state
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.losses import MotionLossConfig
from jaxgesture.motion.normalisation import make_statistics
from jaxgesture.motion.step import DENOISER, denoising_losses, make_step, prepare
from jaxgesture.motion.train import MotionOptimConfig, validation_loss

CONFIG = MotionConfig(
    feature_size=21, audio_size=4, segment_frames=8, width=32, feedforward=32, heads=2, layers=1,
    audio_layers=1, dropout=0.0, standardise=True,
)  # fmt: skip
LOSS = MotionLossConfig()


def batch(size=8, seed=0, config=CONFIG):
    """Motion that the audio tells: every number follows one column of it."""
    rng = np.random.default_rng(seed)
    frames, h = config.segment_frames, config.history_frames
    audio = rng.standard_normal((size, frames, config.audio_size)).cumsum(1)
    weights = 0.01 * rng.standard_normal((config.audio_size, config.feature_size))
    motion = 0.5 + audio @ weights
    return {
        "motion": motion.astype(np.float32),
        "audio": audio.astype(np.float32),
        "history": np.repeat(motion[:, :1], h, 1).astype(np.float32),
        "history_valid": np.arange(size) % 2 == 0,
        "source": motion[:, -1].astype(np.float32),
    }


def statistics(rows, config=CONFIG):
    flat = {name: rows[name].reshape(-1, rows[name].shape[-1]) for name in ("audio", "motion")}
    return make_statistics(
        config, audio_mean=flat["audio"].mean(0), audio_std=flat["audio"].std(0),
        motion_mean=flat["motion"].mean(0), motion_std=flat["motion"].std(0),
    )  # fmt: skip


def initial(config, optimizer, stats):
    network = create_network(
        numpy_params(config), optimizer, stats=jax.tree.map(jnp.asarray, stats), ema=True
    )
    return create_state(**{DENOISER: network})


@pytest.fixture(scope="module")
def trained():
    """200 steps on one batch."""
    rows = batch()
    optimizer = make_optimizer(OptimConfig(name="adam", learning_rate=3e-3), 200)
    compiled = jax.jit(make_step(CONFIG, LOSS, optimizer, ema_decay=0.99))
    first = state = initial(CONFIG, optimizer, statistics(rows))
    history = []
    for i in range(200):
        state, metrics = compiled(state, rows, jax.random.fold_in(jax.random.key(1), i))
        history.append(metrics)
    return first, state, history, compiled, rows


def test_one_batch_is_learned(trained):
    first, state, history, _, rows = trained
    losses = [float(m["loss"]) for m in history]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-20:]) < 0.35 * np.mean(losses[:5])
    assert set(history[0]) == {"loss", "position", "velocity", "acceleration", "grad_norm"}
    rows = {**rows, "valid": np.ones(8, bool)}
    stats = first.networks[DENOISER].stats
    before, after = (
        validation_loss(CONFIG, LOSS, s.networks[DENOISER].ema, stats, [rows])
        for s in (first, state)
    )
    assert after["loss"] < 0.35 * before["loss"]
    # The audio tells the motion here, so that the model must be worse without it.
    assert after["loss_without_audio"] > 1.2 * after["loss"]


def test_every_leaf_moves(trained):
    first, state, *_ = trained
    before, after = (tree.flatten(s.networks[DENOISER].params) for s in (first, state))
    still = [n for n in before if not bool(jnp.any(before[n] != after[n]))]
    assert not still
    ema = tree.flatten(state.networks[DENOISER].ema)
    assert any(bool(jnp.any(ema[n] != after[n])) for n in ema)
    for name, value in first.networks[DENOISER].stats.items():
        np.testing.assert_array_equal(value, state.networks[DENOISER].stats[name])


def test_traced_once(trained):
    assert trained[3]._cache_size() == 1 and int(trained[1].step) == 200


def test_step_is_a_function_of_its_arguments(trained):
    first, _, _, compiled, rows = trained
    step = compiled
    key = jax.random.key(7)
    one, two = (step(first, rows, key)[1] for _ in range(2))
    other = step(first, rows, jax.random.key(8))[1]
    assert float(one["loss"]) == float(two["loss"]) != float(other["loss"])


def test_history_of_segments_that_start_a_clip_is_not_read(trained):
    _, state, _, _, rows = trained
    network = state.networks[DENOISER]
    invalid = {**rows, "history_valid": np.zeros(8, bool), "valid": np.ones(8, bool)}
    other = {**invalid, "history": rows["history"] * 0 - 0.7}
    values = [
        validation_loss(CONFIG, LOSS, network.ema, network.stats, [r], 1) for r in (invalid, other)
    ]
    assert values[0] == values[1]


def test_per_example_losses_average_to_the_batch_loss(trained):
    _, state, _, _, rows = trained
    network = state.networks[DENOISER]
    inputs = prepare(CONFIG, network.stats, rows)
    noise = jax.random.normal(jax.random.key(0), inputs["motion"].shape)
    t, mask = jnp.full((8,), 300), jnp.ones((8,), bool)

    @jax.jit
    def both(params):
        return [
            denoising_losses(
                CONFIG, LOSS, params, inputs, t, noise, history_mask=mask, per_example=per
            )
            for per in (False, True)
        ]

    whole, each = both(network.params)
    for name in whole:
        assert each[name].shape == (8,)
        np.testing.assert_allclose(each[name].mean(), whole[name], rtol=1e-5)


def test_rows_that_do_not_count(trained):
    _, state, _, _, rows = trained
    network = state.networks[DENOISER]
    valid = np.arange(8) < 5
    broken = {n: np.where(valid.reshape(-1, *[1] * (v.ndim - 1)), v, 0) for n, v in rows.items()}
    values = [
        validation_loss(CONFIG, LOSS, network.ema, network.stats, [{**r, "valid": valid}], 1)
        for r in (rows, broken)
    ]
    np.testing.assert_allclose(values[0]["loss"], values[1]["loss"], rtol=1e-6)


def test_without_history_the_batch_needs_none():
    config = dataclasses.replace(CONFIG, history_frames=0, representation="euler")
    rows = {n: v for n, v in batch(4).items() if not n.startswith("history")}
    stats = make_statistics(
        config, audio_mean=np.zeros(4), audio_std=np.ones(4), motion_mean=np.zeros(9),
        motion_std=np.ones(9),
    )  # fmt: skip
    optimizer = make_optimizer(MotionOptimConfig(), 10)
    state = initial(config, optimizer, stats)
    step = jax.jit(make_step(config, LOSS, optimizer, ema_decay=0.9999))
    for i in range(2):
        state, metrics = step(state, rows, jax.random.key(i))
    assert np.isfinite(float(metrics["loss"]))
