import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from motion.weights import numpy_params

from jaxgesture.core import tree
from jaxgesture.core.errors import UserError
from jaxgesture.core.optim import OptimConfig, make_optimizer
from jaxgesture.core.state import create_network, create_state
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.losses import MotionLossConfig, example_losses, mean_losses
from jaxgesture.motion.normalisation import make_statistics
from jaxgesture.motion.step import (
    DENOISER,
    compare,
    loss_by_step,
    make_step,
    predict,
    prepare,
)
from jaxgesture.motion.train import MotionOptimConfig, validation_loss

CONFIG = MotionConfig(
    feature_size=21, audio_size=4, segment_frames=8, width=32, feedforward=32, heads=2, layers=1,
    audio_layers=1, dropout=0.0, standardise=True,
)  # fmt: skip
LOSS = MotionLossConfig()
OPTIMIZER = make_optimizer(OptimConfig(name="sgd"), 1)


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


def test_a_batch_in_parts_moves_the_weights_alike():
    """The same loss, gradient and seams, though every second example has no history."""
    config = dataclasses.replace(CONFIG, dtype="float64", history_noise=0.1)
    with jax.enable_x64(True):
        rows = jax.tree.map(
            lambda x: x.astype("f8") if x.dtype == "f4" else x, batch(config=config)
        )
        optimizer = make_optimizer(OptimConfig(name="sgd", learning_rate=1.0, b1=0.0), 1)
        stats = statistics(rows)
        first = jax.tree.map(
            lambda x: jnp.asarray(x, jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x,
            initial(config, optimizer, stats),
        )
        found = []
        for parts in (1, 4):
            step = make_step(config, LOSS, optimizer, ema_decay=0.9, accumulate=parts)
            found.append(jax.jit(step)(first, rows, jax.random.key(3)))
    (one, seen), (other, again) = found
    assert seen.keys() == again.keys()
    for name, value in seen.items():
        np.testing.assert_allclose(value, again[name], rtol=1e-9, err_msg=name)
    moved = tree.flatten(one.networks[DENOISER].params)
    for name, leaf in tree.flatten(other.networks[DENOISER].params).items():
        np.testing.assert_allclose(leaf, moved[name], rtol=0, atol=1e-10, err_msg=name)


def test_a_batch_that_does_not_divide():
    step = make_step(CONFIG, LOSS, OPTIMIZER, ema_decay=0.9, accumulate=3)
    rows = batch()
    with pytest.raises(UserError, match=r"optim.accumulate=3 does not divide the batch of 8"):
        jax.eval_shape(step, initial(CONFIG, OPTIMIZER, statistics(rows)), rows, jax.random.key(0))


@pytest.mark.parametrize("policy", ["blocks", "products"])
def test_recomputing_gives_the_same_gradient_and_keeps_less(policy):
    rows = batch()
    inputs = prepare(CONFIG, statistics(rows), rows)
    t = jnp.full((8,), 500)
    noise = jax.random.normal(jax.random.key(2), rows["motion"].shape)

    def gradient(**changes):
        config = dataclasses.replace(CONFIG, dropout=0.1, layers=2, **changes)

        def loss(params):
            key = jax.random.key(1)
            found = predict(config, params, inputs, t, noise, dropout_key=key)
            return mean_losses(compare(found, inputs), LOSS)["loss"]

        params = numpy_params(config)
        pull = jax.eval_shape(lambda x: jax.vjp(loss, x)[1], params)
        return jax.jit(jax.grad(loss))(params), tree.count(pull)

    (plain, most), (again, less) = gradient(), gradient(remat=True, remat_policy=policy)
    assert less < 0.8 * most
    for name, leaf in tree.flatten(again).items():
        np.testing.assert_allclose(leaf, tree.flatten(plain)[name], rtol=0, atol=1e-6, err_msg=name)


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
    bars = {f"loss_t{low:03d}_{low + 99:03d}" for low in range(0, 1000, 100)}
    parts = {"loss", "position", "velocity", "acceleration"}
    norms = {name for name in history[0] if name.startswith("grad_norm_")}
    assert set(history[0]) == {*parts, "grad_norm", *norms, *bars}
    whole = np.sqrt(sum(float(history[0][name]) ** 2 for name in norms))
    np.testing.assert_allclose(whole, float(history[0]["grad_norm"]), rtol=1e-5)
    assert {"grad_norm_seqTransDecoder", "grad_norm_cond_encoder"} < norms
    for metrics in history[:5]:
        total = sum(float(metrics[bar].total) for bar in bars)
        assert sum(int(metrics[bar].weight) for bar in bars) == 8
        np.testing.assert_allclose(total / 8, float(metrics["loss"]), rtol=0.1)
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
        prediction = predict(CONFIG, params, inputs, t, noise, history_mask=mask)
        parts = compare(prediction, inputs, mask)
        return [function(parts, LOSS) for function in (mean_losses, example_losses)]

    whole, each = both(network.params)
    for name in whole:
        assert each[name].shape == (8,)
        np.testing.assert_allclose(each[name].mean(), whole[name], rtol=1e-5)


def test_the_histogram_puts_each_loss_where_its_step_is():
    found = loss_by_step(jnp.array([0, 99, 100, 999]), jnp.array([1.0, 2.0, 4.0, 8.0]))
    got = {n: (float(v.total), int(v.weight)) for n, v in found.items() if int(v.weight)}
    assert len(found) == 10
    assert got == {"loss_t000_099": (3, 2), "loss_t100_199": (4, 1), "loss_t900_999": (8, 1)}


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


def test_the_frame_before_is_the_source_where_there_is_one():
    config = dataclasses.replace(CONFIG, history_frames=0, source="previous")
    assert config.past_frames == 1
    rows = {**batch(4), "history_valid": np.array([True, False, True, True])}
    stats = statistics(rows)
    got, image = (prepare(c, stats, rows) for c in (config, CONFIG))
    assert "history" not in got and "history" in image
    last = image["history"][:, -1]
    np.testing.assert_array_equal(got["source"][1], image["source"][1])
    np.testing.assert_array_equal(got["source"][::2], last[::2])
    assert np.abs(last - image["source"]).max() > 0.01
    optimizer = make_optimizer(MotionOptimConfig(), 10)
    state = initial(config, optimizer, stats)
    step = jax.jit(make_step(config, LOSS, optimizer, ema_decay=0.9999))
    _, metrics = step(state, rows, jax.random.key(0))
    assert np.isfinite(float(metrics["loss"]))
