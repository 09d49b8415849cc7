"""Changes made in the training step are those that the host would make."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from animation.weights import TINY

from jaxgesture.animation import step
from jaxgesture.animation.augment import augmented, pair
from jaxgesture.animation.losses import LossConfig
from jaxgesture.animation.step import Training, as_image, make_init, make_opening, make_step
from jaxgesture.core.optim import OptimConfig, make_optimizer
from jaxgesture.data import augment
from jaxgesture.data.augment import AugmentConfig

# Pillow rounds to whole levels after each of two passes, before the colour matrix, and after it.
ROUNDING = 0.5


def _tolerance(change):
    gain = 1.0 if change.colour is None else np.abs(change.numbers()["colour"][:, :3]).sum(1).max()
    crops = 0.0 if change.box is None else 2 * ROUNDING * gain
    # Its weights are of 8 fractional bits and more, its matrix of float32.
    return crops + (0.0 if change.colour is None else ROUNDING) + 0.05


def _pictures(size, count):
    """Smooth colours and noise, so that a shift by half a pixel shows."""
    rng = np.random.default_rng(size)
    waves = np.sin(np.arange(size) * rng.uniform(0.05, 0.3, (count, 3, 1)))
    images = 128 + 90 * waves.transpose(0, 2, 1)[:, None] * waves.transpose(0, 2, 1)[:, :, None]
    return np.clip(images + rng.normal(0, 12, images.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "config",
    [
        AugmentConfig(0.5, 0.3, 0.2, 0.2, 0.3),
        AugmentConfig(0.5, 0.0, 0.1, 0.1, 0.1),
        AugmentConfig(0.5, 0.3, 0, 0, 0),
        AugmentConfig(1, 0, 0, 0, 0),
    ],
)
@pytest.mark.parametrize("size", [16, 61])
def test_as_on_the_host(config, size):
    images = _pictures(size, 12)
    draws = [augment.draw(config, np.random.default_rng(k)) for k in range(12)]
    rows = [draw.numbers() for draw in draws]
    numbers = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    found = np.asarray(jax.jit(augmented)(images, **numbers)) * 255
    wanted = np.stack([d.apply(image) for d, image in zip(draws, images, strict=True)])
    worst = np.abs(found - wanted).max((1, 2, 3))
    print(f"{worst.max():.2f} levels, at most {max(map(_tolerance, draws)):.2f} allowed")
    assert (worst <= [_tolerance(draw) for draw in draws]).all()
    assert 0 <= found.min() and found.max() <= 255
    # Another change, or none, is far from it.
    assert np.abs(found[::-1] - wanted).max() > 20
    assert np.abs(images.astype(float) - wanted).max() > 20


def test_without_a_change_pixels_are_only_scaled():
    images = _pictures(16, 2)
    source, driving = pair({"source": jnp.asarray(images[:1]), "driving": jnp.asarray(images[1:])})
    np.testing.assert_array_equal(source, as_image(images[:1]))
    np.testing.assert_array_equal(driving, as_image(images[1:]))


def test_pairs_change_alike_and_as_the_batch_says():
    images = _pictures(16, 4)
    draw = augment.draw(AugmentConfig(1, 0.3), np.random.default_rng(0))
    numbers = {key: np.stack([value, value]) for key, value in draw.numbers().items()}
    source, driving = pair({"source": images[:2], "driving": images[2:], **numbers})
    np.testing.assert_array_equal(source, augmented(images[:2], **numbers))
    np.testing.assert_array_equal(driving, augmented(images[2:], **numbers))


@pytest.mark.parametrize("make", [make_step, make_opening])
def test_both_steps_see_the_changed_images(make, monkeypatch):
    class Seen(Exception):
        pass

    def look(batch, *_):
        assert set(batch) == {"source", "driving", "flip"}
        raise Seen

    monkeypatch.setattr(step, "pair", look)
    optimizer = make_optimizer(OptimConfig(), 1)
    loss = LossConfig(read_out=1.0, read_out_steps=5)
    training = Training(TINY, loss, optimizer, opening_optimizer=optimizer)
    state = jax.eval_shape(make_init(training), jax.random.key(0))
    batch = {"source": _pictures(16, 1), "driving": _pictures(16, 1), "flip": np.array([True])}
    with pytest.raises(Seen):
        jax.eval_shape(make(training), state, batch, jax.random.key(0))
