import jax.numpy as jnp
import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.normalisation import make_statistics, normalise_motion, restore_motion
from jaxgesture.motion.representation import (
    euler_from_rotation,
    nearest_rotation,
    rotation_from_euler,
    to_feature,
    to_motion,
)

ROTMAT = MotionConfig(feature_size=39)
EULER = MotionConfig(feature_size=39, representation="euler")


def angles(seed=0, count=500):
    rng = np.random.default_rng(seed)
    # Both sides of 90 degrees: the base model's angles reach 99.
    return jnp.asarray(np.radians(rng.uniform(-98, 98, (count, 3))), jnp.float32)


def features(seed=0, frames=7):
    rng = np.random.default_rng(seed)
    rotation = rotation_from_euler(angles(seed, frames * 4)).reshape(frames, 36)
    translation = jnp.asarray(rng.uniform(-1, 1, (frames, 3)), jnp.float32)
    return jnp.concatenate((rotation, translation), axis=-1)


def test_rotation_is_pitch_yaw_roll():
    p, y, r = 0.3, -0.7, 1.1

    def turn(axis, a):
        c, s = np.cos(a), np.sin(a)
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        m = np.eye(3)
        m[i, i] = m[j, j] = c
        m[i, j], m[j, i] = -s, s
        return m

    expected = turn(0, p) @ turn(1, y) @ turn(2, r)
    np.testing.assert_allclose(rotation_from_euler(jnp.array([p, y, r])), expected, atol=1e-6)


def test_euler_round_trip_beyond_ninety_degrees():
    given = angles()
    # Near 90 degrees of yaw only the rotation is well determined.
    far = np.abs(np.abs(np.asarray(given)[:, 1]) - np.pi / 2) > 0.02
    found = euler_from_rotation(rotation_from_euler(given))
    np.testing.assert_allclose(np.asarray(found)[far], np.asarray(given)[far], atol=2e-3)
    back = rotation_from_euler(found)
    np.testing.assert_allclose(back, rotation_from_euler(given), atol=1e-5)


def test_gimbal_lock_keeps_the_rotation():
    rotation = rotation_from_euler(jnp.array([[0.4, np.pi / 2, 0.2], [0.4, -np.pi / 2, -0.3]]))
    back = rotation_from_euler(euler_from_rotation(rotation))
    np.testing.assert_allclose(back, rotation, atol=1e-3)


@pytest.mark.parametrize("config", [ROTMAT, EULER])
def test_feature_round_trip(config):
    feature = features()
    motion = to_motion(feature, config)
    assert motion.shape == (7, config.motion_size) and float(jnp.abs(motion).max()) <= 1
    np.testing.assert_allclose(to_feature(motion, config), feature, atol=2e-6)


def test_projection_gives_the_nearest_rotation():
    rng = np.random.default_rng(2)
    noised = rotation_from_euler(angles(3, 50)) + 0.1 * rng.standard_normal((50, 3, 3))
    nearest = nearest_rotation(noised)
    np.testing.assert_allclose(
        nearest @ jnp.swapaxes(nearest, 1, 2), np.broadcast_to(np.eye(3), (50, 3, 3)), atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.det(nearest), 1, atol=1e-5)
    distance = np.square(nearest - noised).sum((1, 2))
    for seed in range(5):
        other = nearest @ rotation_from_euler(0.05 * angles(seed, 50))
        assert (np.square(other - noised).sum((1, 2)) > distance).all()


def test_projection_never_gives_a_reflection():
    mirror = jnp.diag(jnp.array([1.0, 1.0, -0.5]))
    np.testing.assert_allclose(np.linalg.det(nearest_rotation(mirror)), 1, atol=1e-6)


def test_projection_can_be_switched_off():
    config = MotionConfig(feature_size=39, project=False)
    np.testing.assert_array_equal(to_feature(features() * 0.9, config), features() * 0.9)


def test_euler_is_a_third():
    paper = MotionConfig(representation="euler")
    assert paper.motion_size == 771 and MotionConfig().motion_size == 2307
    assert MotionConfig(feature_size=200, representation="vector").motion_size == 200
    with pytest.raises(UserError, match="feature_size"):
        MotionConfig(feature_size=200)


def test_standardised_round_trip_and_clipping():
    config = MotionConfig(feature_size=39, audio_size=2, standardise=True, standard_deviations=3.0)
    std = np.linspace(1e-5, 1e-2, 39)
    mean = np.linspace(-0.5, 0.5, 39)
    statistics = make_statistics(
        config, audio_mean=np.zeros(2), audio_std=np.ones(2), motion_mean=mean, motion_std=std
    )
    rng = np.random.default_rng(0)
    raw = (mean + std * rng.uniform(-2.9, 2.9, (50, 39))).astype(np.float32)
    unit = normalise_motion(statistics, jnp.asarray(raw))
    assert float(jnp.abs(unit).max()) < 1
    # The last number, which moves most, fills its range; the first is held down by the floor.
    assert float(jnp.abs(unit[:, -1]).max()) > 0.9 and float(jnp.abs(unit[:, 0]).max()) < 0.1
    np.testing.assert_allclose(restore_motion(statistics, unit), raw, atol=1e-6)
    assert float(normalise_motion(statistics, jnp.asarray(mean + 9 * std))[-1]) == 1


def test_statistics_of_another_size_are_refused():
    with pytest.raises(UserError, match="audio_mean has 3 entries"):
        make_statistics(
            MotionConfig(feature_size=39, audio_size=2), audio_mean=np.zeros(3),
            audio_std=np.ones(3),
        )  # fmt: skip
