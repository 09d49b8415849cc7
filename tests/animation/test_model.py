import hashlib
import json

import numpy as np
import pytest
import tolerances
from animation.weights import TINY, numpy_variables, pictures

from jaxgesture.animation.model import Animation, load_animation
from jaxgesture.core import export
from jaxgesture.core.errors import UserError

IMAGES = pictures(2)


@pytest.fixture(scope="module")
def animation():
    return Animation(TINY, numpy_variables())


@pytest.fixture(scope="module")
def source(animation):
    return animation.encode_source(IMAGES[0])


@pytest.fixture(scope="module")
def features(animation):
    return np.asarray(animation.extract_motion(IMAGES))


def test_sizes(animation):
    assert (animation.size, animation.feature_size) == (64, 4 * 4 * 9 + 3)


def test_one_or_many(animation, source, features):
    assert features.shape == (2, 147)
    single = animation.extract_motion(IMAGES[1])
    assert single.shape == (147,)
    np.testing.assert_allclose(single, features[1], atol=tolerances.STAGE1_BATCHING)
    batch, frame = animation.animate(source, features), animation.animate(source, features[1])
    assert batch.shape == (2, 64, 64, 3) and frame.shape == (64, 64, 3)
    np.testing.assert_allclose(frame, batch[1], atol=tolerances.STAGE1_BATCHING)


def test_float64_and_lists_are_taken(animation, features):
    feature = animation.extract_motion(IMAGES[0].astype(np.float64).tolist())
    np.testing.assert_allclose(feature, features[0], atol=tolerances.STAGE1_BATCHING)


@pytest.mark.parametrize(
    "image",
    [
        (IMAGES[0] * 255).astype(np.uint8),
        IMAGES[0, :32, :32],
        IMAGES[0, :, :, :1],
        IMAGES[0, :, :, 0],
        np.concatenate([IMAGES[0], IMAGES[0, :, :, :1]], -1),
    ],
    ids=["uint8", "small", "one channel", "grey", "alpha"],
)
def test_images_of_another_kind(animation, image):
    for function in (animation.encode_source, animation.extract_motion):
        with pytest.raises(UserError) as caught:
            function(image)
        message = str(caught.value)
        assert "shape (64, 64, 3) and floats in [0, 1]" in message and str(image.shape) in message
        assert "jaxgesture.read_image(path, size=64)" in message and "\n" not in message


@pytest.mark.parametrize("shape", [(146,), (2, 148), (1, 2, 147)])
def test_features_of_another_model(animation, source, shape):
    with pytest.raises(UserError, match="motion features of length 147.*another model"):
        animation.animate(source, np.zeros(shape))


def test_hash_is_of_the_weights(animation):
    assert Animation(TINY, numpy_variables()).sha256 == animation.sha256
    other = numpy_variables()
    kernel = other["params"]["encoder"]["first"]["conv"]["kernel"]
    other["params"]["encoder"]["first"]["conv"]["kernel"] = kernel.at[0, 0, 0, 0].add(1e-3)
    assert Animation(TINY, other).sha256 != animation.sha256


def test_the_hash_of_fixed_weights_never_changes():
    """Motion datasets name it: another value would orphan them."""
    variables = {"params": {"a": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}}
    expected = hashlib.sha256(b"params/a/kernel" + np.arange(6, dtype="<f4").tobytes())
    assert Animation(TINY, variables).sha256 == expected.hexdigest()


def test_saved_folder_is_the_model(animation, source, features, tmp_path):
    animation.save(tmp_path / "model")
    loaded = load_animation(str(tmp_path / "model"))
    assert loaded.config == TINY and loaded.sha256 == animation.sha256
    np.testing.assert_array_equal(
        loaded.animate(loaded.encode_source(IMAGES[0]), features),
        animation.animate(source, features),
    )
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        export.FILE,
        export.WEIGHTS,
    ]


def test_damaged_folders(animation, tmp_path):
    folder = tmp_path / "model"
    animation.save(folder)
    whole = (folder / export.WEIGHTS).read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"no archive"):
        (folder / export.WEIGHTS).write_bytes(damaged)
        with pytest.raises(UserError, match="not a whole exported model.*export it again"):
            load_animation(folder)
    (folder / export.WEIGHTS).unlink()
    with pytest.raises(UserError, match="not a whole exported model"):
        load_animation(folder)
    (folder / export.WEIGHTS).write_bytes(whole)
    description = json.loads((folder / export.FILE).read_text())
    description["model"]["sise"] = 64
    (folder / export.FILE).write_text(json.dumps(description))
    with pytest.raises(UserError, match="no key model.sise.*did you mean 'size'"):
        load_animation(folder)
    (folder / export.FILE).write_text("{")
    with pytest.raises(UserError, match="not a whole exported model"):
        load_animation(folder)


def test_a_folder_of_the_other_stage(animation, tmp_path):
    export.save(tmp_path, "motion", {"params": {"kernel": np.ones(2)}}, TINY)
    with pytest.raises(UserError, match="holds a model of 'motion'; give one of 'animation'"):
        load_animation(tmp_path)


def test_what_cannot_be_loaded(tmp_path):
    with pytest.raises(UserError, match="no folder .*missing; name the work directory"):
        load_animation(tmp_path / "missing")
    with pytest.raises(UserError, match="holds no trained model"):
        load_animation(tmp_path)
    with pytest.raises(UserError, match="no weight file .*missing.pt; check the path"):
        load_animation(tmp_path / "missing.pt")
    with pytest.raises(UserError, match="no preset 'papr'.*did you mean 'paper'"):
        load_animation({}, preset="papr")


def test_folders_know_their_sizes(animation, tmp_path):
    animation.save(tmp_path / "model.v1.pt")  # whatever their name is like
    loaded = load_animation(tmp_path / "model.v1.pt", preset="paper")
    assert loaded.config == TINY and loaded.sha256 == animation.sha256


def test_a_folder_that_cannot_be_written(animation, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        animation.save(tmp_path / "file")
