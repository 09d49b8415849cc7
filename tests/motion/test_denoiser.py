import jax
import jax.numpy as jnp
import numpy as np
import pytest
from motion.weights import apply, numpy_params

from jaxgesture.core import tree
from jaxgesture.core.errors import UserError
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.denoiser import init_params
from jaxgesture.motion.guidance import double, guided

SMALL = {
    "feature_size": 21, "audio_size": 35, "segment_frames": 8, "width": 16, "feedforward": 32,
    "heads": 2, "layers": 2, "audio_layers": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def small():
    config = MotionConfig(**SMALL)
    return config, numpy_params(config)


def inputs(config, seed=0, batch=3):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return jnp.asarray(rng.uniform(-1, 1, (batch, *shape)), jnp.float32)

    frames, size = config.segment_frames, config.motion_size
    return (
        draw(frames, size),
        jnp.array([3, 500, 999])[:batch],
        {
            "audio": draw(frames, config.audio_size),
            "source_feature": draw(size),
            "history": draw(config.history_frames, size),
        },
    )


def test_published_sizes():
    def count(**changes):
        shapes = jax.eval_shape(
            lambda key: init_params(MotionConfig(**changes), key), jax.random.key(0)
        )
        return tree.count(shapes)

    assert count(feature_size=200, representation="vector", history_frames=0) == 47_665_864
    without = count(history_frames=0)
    assert tree.format_count(without) == "50.9 M"
    # One projection with bias, four frame embeddings, four null tokens.
    assert count() - without == 2307 * 512 + 512 + 8 * 512


def test_without_history_no_parameter_mentions_it(small):
    config = MotionConfig(**SMALL, history_frames=0)
    shapes = jax.eval_shape(lambda key: init_params(config, key), jax.random.key(0))
    with_history = set(tree.flatten(small[1])) - set(tree.flatten(shapes))
    assert with_history and all("history" in name for name in with_history)
    assert not any("history" in name for name in tree.flatten(shapes))


def test_every_input_changes_the_output(small):
    config, params = small
    x, t, rest = inputs(config)
    base = apply(config, params, x, t, **rest)
    assert base.shape == x.shape and base.dtype == jnp.float32
    for name in rest:
        changed = apply(config, params, x, t, **{**rest, name: rest[name] + 0.5})
        assert float(jnp.abs(changed - base).max()) > 1e-4, name
    assert float(jnp.abs(apply(config, params, x, t + 1 - 2 * (t > 998), **rest) - base).max()) > 0


def test_null_history_replaces_the_real_one(small):
    config, params = small
    x, t, rest = inputs(config)
    masked = apply(config, params, x, t, **rest, history_mask=jnp.array([True, False, False]))
    full = apply(config, params, x, t, **rest)
    absent = apply(config, params, x, t, **{**rest, "history": None})
    np.testing.assert_allclose(masked[0], full[0], atol=1e-6)
    np.testing.assert_allclose(masked[1:], absent[1:], atol=1e-6)
    assert float(jnp.abs(full - absent).max()) > 1e-5


def test_dropped_audio_does_not_reach_the_output(small):
    config, params = small
    x, t, rest = inputs(config)
    keep = jnp.array([True, False, False])
    other = {**rest, "audio": rest["audio"][::-1] + 1}
    first, second = (apply(config, params, x, t, **r, keep=keep) for r in (rest, other))
    np.testing.assert_array_equal(first[1:], second[1:])
    assert float(jnp.abs(first[0] - second[0]).max()) > 1e-4


def test_examples_do_not_mix(small):
    config, params = small
    x, t, rest = inputs(config)
    full = apply(config, params, x, t, **rest)
    for i in range(3):
        one = {name: value[i : i + 1] for name, value in rest.items()}
        single = apply(config, params, x[i : i + 1], t[i : i + 1], **one)
        np.testing.assert_allclose(single[0], full[i], atol=1e-5)


def test_guidance_weights(small):
    config, params = small
    x, t, rest = inputs(config)
    both = double(rest)

    def predict(x_t, steps, keep):
        return apply(config, params, x_t, steps, **both, keep=keep)

    conditional = apply(config, params, x, t, **rest)
    unconditional = apply(config, params, x, t, **rest, keep=jnp.zeros(3, bool))
    np.testing.assert_allclose(guided(predict, x, t, 1.0), conditional, atol=1e-5)
    np.testing.assert_allclose(guided(predict, x, t, 0.0), unconditional, atol=1e-5)
    expected = 2 * conditional - unconditional
    np.testing.assert_allclose(guided(predict, x, t, 2.0), expected, atol=1e-5)


def test_dropout_is_on_in_training_only(small):
    config, params = small
    x, t, rest = inputs(config)

    def train(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return apply(config, params, x, t, **rest, deterministic=False, rngs=rngs)

    assert float(jnp.abs(train(0) - train(1)).max()) > 1e-3
    np.testing.assert_array_equal(train(0), train(0))


def test_bfloat16_stays_close_and_float32_at_the_ends(small):
    config, params = small
    x, t, rest = inputs(config)
    low = apply(MotionConfig(**SMALL, dtype="bfloat16"), params, x, t, **rest)
    full = apply(config, params, x, t, **rest)
    assert low.dtype == jnp.float32
    difference = float(jnp.abs(low - full).max())
    assert 1e-6 < difference < 0.05 * float(jnp.abs(full).max()) + 0.02


def test_euler_network_is_smaller():
    config = MotionConfig(**SMALL, representation="euler")
    shapes = jax.eval_shape(lambda key: init_params(config, key), jax.random.key(0))
    assert shapes["final_layer"]["kernel"].shape == (16, 9)
    assert shapes["input_projection"]["kernel"].shape == (18, 16)


@pytest.mark.parametrize(
    "change,message",
    [
        ({"representation": "axis"}, "rotmat"),
        ({"representation": "vector"}, "even"),
        ({"dtype": "float8"}, "bfloat16"),
        ({"width": 18}, "multiple"),
        ({"history_frames": 9}, "history_frames"),
        ({"segment_frames": 5, "history_frames": 0}, "at least 6"),
    ],
)
def test_bad_sizes(change, message):
    with pytest.raises(UserError, match=message):
        MotionConfig(**{**SMALL, **change})
