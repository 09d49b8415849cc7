"""What is planned has the shapes that the real functions take."""

import jax
import jax.numpy as jnp
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.demo.settings import load_config
from jaxgesture.planning import subjects


@pytest.mark.parametrize("name", ["stage1", "stage2"])
def test_the_training_step(name):
    subject = subjects.make(load_config(name, "debug"))
    after, metrics = jax.eval_shape(subject.function, *subject.shapes(4))
    assert jax.tree.structure(after) == jax.tree.structure(subject.state)
    assert metrics["loss"].shape == () and subject.batch_size and subject.batch_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stage1", "stage2"])
def test_the_training_step_of_the_published_model(name):
    subject = subjects.make(load_config(name, "paper"))
    names = [argument.name for argument in subject.arguments]
    assert ("frozen" in names) == (name == "stage1")
    after, _ = jax.eval_shape(subject.function, *subject.shapes(4))
    assert jax.tree.structure(after) == jax.tree.structure(subject.state)


def test_a_batch_holds_what_the_device_is_told_of_the_augmentation():
    config = load_config("stage1", "debug")
    config.data.augment.flip = 0.5
    batch = subjects.make(config).arguments[1].of(4)
    assert batch["flip"].shape == (4,) and "crop" not in batch
    config.data.augment_on = "host"
    assert "flip" not in subjects.make(config).arguments[1].of(4)


def test_drawing_frames():
    subject = subjects.make(load_config("stage1", "debug"), "render")
    images = jax.eval_shape(subject.function, *subject.shapes(3))
    assert images.shape == (3, 64, 64, 3) and subject.frames == 1 and subject.state is None


def test_sampling_motion():
    config = load_config("stage2", "debug")
    subject = subjects.make(config, "sample")
    motion = jax.eval_shape(subject.function, *subject.shapes(2))
    assert motion.shape == (2, subject.frames, config.model.feature_size)
    assert jnp.issubdtype(subject.shapes(2)[-2].dtype, jax.dtypes.prng_key)


@pytest.mark.parametrize(
    ("name", "what", "message"),
    [
        ("stage1", "sample", "--what=sample is of stage 2"),
        ("stage2", "render", "--what=render is of stage 1"),
        ("stage2", "draw", "--what=draw is not known"),
        ("pose_autoencoder", "train", "needs no plan"),
    ],
)
def test_what_is_refused(name, what, message):
    with pytest.raises(UserError, match=message):
        subjects.make(load_config(name, "debug"), what)
