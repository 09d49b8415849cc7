import jax.numpy as jnp
import numpy as np

from jaxgesture.motion.losses import MotionLossConfig, motion_losses

CONFIG = MotionLossConfig()


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return tuple(
        rng.standard_normal(s).astype(np.float32) for s in ((3, 10, 4), (3, 10, 4), (3, 4, 4))
    )


def test_without_history_are_plain_differences():
    prediction, target, _ = arrays()
    losses = motion_losses(jnp.asarray(prediction), jnp.asarray(target), CONFIG)
    for order, name in enumerate(("position", "velocity", "acceleration")):
        expected = np.square(
            np.diff(prediction, n=order, axis=1) - np.diff(target, n=order, axis=1)
        ).mean()
        np.testing.assert_allclose(losses[name], expected, rtol=1e-5)
    parts = losses["position"] + losses["velocity"] + losses["acceleration"]
    np.testing.assert_allclose(losses["loss"], parts, rtol=1e-6)


def test_history_extends_the_differences_over_the_seam():
    prediction, target, history = arrays()
    losses = motion_losses(
        jnp.asarray(prediction), jnp.asarray(target), CONFIG, history=jnp.asarray(history)
    )
    for order, name in ((1, "velocity"), (2, "acceleration")):
        both = [np.concatenate((history[:, -order:], x), 1) for x in (prediction, target)]
        difference = np.diff(both[0], n=order, axis=1) - np.diff(both[1], n=order, axis=1)
        assert difference.shape[1] == 10
        np.testing.assert_allclose(losses[name], np.square(difference).mean(), rtol=1e-5)


def test_seams_without_history_do_not_count():
    prediction, target, history = map(jnp.asarray, arrays())
    mask = jnp.zeros(3, bool)
    masked = motion_losses(prediction, target, CONFIG, history=history, history_mask=mask)
    plain = motion_losses(prediction, target, CONFIG)
    for name in plain:
        np.testing.assert_allclose(masked[name], plain[name], rtol=1e-6)
    mixed = motion_losses(
        prediction, target, CONFIG, history=history, history_mask=jnp.array([True, False, False])
    )
    assert abs(float(mixed["velocity"] - plain["velocity"])) > 1e-4


def test_weights():
    prediction, target, _ = map(jnp.asarray, arrays())
    losses = motion_losses(prediction, target, MotionLossConfig(2.0, 0.0, 0.5))
    expected = 2 * losses["position"] + 0.5 * losses["acceleration"]
    np.testing.assert_allclose(losses["loss"], expected, rtol=1e-6)
