import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tolerances
from perceptual import released

from jaxgesture.core.errors import UserError
from jaxgesture.layers.resize import blur_downsample
from jaxgesture.perceptual import vgg, weights

TAPS = vgg.VGG19_PYRAMID_TAPS


def convolutions(function, *args):
    """The convolutions of the traced function, as their output types."""
    jaxpr = jax.make_jaxpr(function)(*args)
    return [
        e.outvars[0].aval.dtype for e in jaxpr.eqns if e.primitive.name == "conv_general_dilated"
    ]


@pytest.fixture(scope="module")
def golden(shared):
    return dict(np.load(shared / "parity/vgg19_features_seed0.npz"))


@pytest.mark.parity
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_vgg19_maps(shared, golden, dtype):
    params = released.params(shared, "vgg19")
    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        image = jnp.asarray(released.image(golden, "image_real_u8", dtype)[:, 32:96, 32:96])
        maps = jax.jit(lambda p, x: vgg.features(p, vgg.normalise(x), TAPS))(params, image)
        assert all(m.dtype == dtype for m in maps)
    strides = ((1, 4), (2, 2), (4, 1), (8, 1), (8, 1))
    errors = {
        f"relu{k}_1": released.error(
            released.channels_first(m)[::c, ::s, ::s], golden[f"relu{k}_1"]
        )
        for k, (m, (c, s)) in enumerate(zip(maps, strides, strict=True), 1)
    }
    print(errors)
    for name, error in errors.items():
        deep = name in ("relu4_1", "relu5_1")
        assert error <= (tolerances.VGG_DEEP_MAPS if deep else tolerances.VGG_MAPS), errors


@pytest.mark.parity
def test_pyramid(golden):
    image = jnp.asarray(released.image(golden, "image_real_u8"))
    with jax.default_matmul_precision("highest"):
        errors = {
            name: released.error(
                released.channels_first(blur_downsample(image, factor)), golden[name]
            )
            for name, factor in (("pyramid_0.5", 2), ("pyramid_0.25", 4), ("pyramid_0.125", 8))
        }
    print(errors)
    assert max(errors.values()) <= tolerances.VGG_PYRAMID, errors


@pytest.mark.parametrize(
    ("network", "convs", "pools"),
    [
        (vgg.VGG16, (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), (4, 9, 16, 23, 30)),
        (
            vgg.VGG19,
            (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
            (4, 9, 18, 27, 36),
        ),
    ],
)
def test_indices_are_torchvisions(network, convs, pools):
    assert tuple(network.convs()) == convs
    assert tuple(i for i, m in enumerate(network.modules) if isinstance(m, vgg.MaxPool)) == pools
    assert all(isinstance(network.modules[i + 1], vgg.Relu) for i in convs)
    assert len(network.modules) == pools[-1] + 1


def test_any_module_can_be_tapped_in_any_order():
    params = weights.random_params("vgg16")
    image = np.random.default_rng(0).uniform(0, 1, (2, 12, 9, 3)).astype(np.float32)
    pool, conv, relu = vgg.features(params, image, (4, 2, 3))
    assert conv.shape == relu.shape == (2, 12, 9, 64)
    assert np.asarray(conv).min() < 0
    np.testing.assert_array_equal(relu, np.maximum(conv, 0))
    # Floor: the ninth column is in no window.
    windows = np.asarray(relu)[:, :, :8].reshape(2, 6, 2, 4, 2, 64)
    np.testing.assert_array_equal(pool, windows.max((2, 4)))


def test_nothing_behind_the_last_tap_is_computed():
    params = weights.random_params("vgg16")
    image = np.zeros((1, 16, 16, 3), np.float32)
    assert len(convolutions(lambda p, x: vgg.features(p, x, (5,)), params, image)) == 3
    assert len(convolutions(lambda p, x: vgg.features(p, x, (1, 16)), params, image)) == 7
    first = {name: params[name] for name in ("features_0", "features_2")}
    np.testing.assert_array_equal(
        vgg.features(first, image, (4,))[0], vgg.features(params, image, (4,))[0]
    )


def test_low_precision_inside_float32_outside():
    params = weights.random_params("vgg16")
    image = np.random.default_rng(1).uniform(0, 1, (1, 32, 32, 3)).astype(np.float32)

    def maps(p, x, dtype):
        return vgg.features(p, x, (15,), dtype)[0]

    low = maps(params, image, jnp.bfloat16)
    full = np.asarray(maps(params, image, None))
    assert low.dtype == jnp.float32
    assert set(convolutions(lambda p, x: maps(p, x, jnp.bfloat16), params, image)) == {
        np.dtype(jnp.bfloat16)
    }
    difference = np.linalg.norm(np.asarray(low) - full) / np.linalg.norm(full)
    print(difference)
    assert 1e-5 < difference < tolerances.VGG_BFLOAT16


def test_normalise_by_hand():
    image = jnp.asarray([[[[0.485, 0.456, 0.406], [0.714, 0.232, 0.631]]]])
    expected = [[[[0, 0, 0], [1, -1, 1]]]]
    np.testing.assert_allclose(vgg.normalise(image), expected, atol=1e-6)


def test_too_small_an_image_is_refused():
    params = weights.random_params("vgg16")
    with pytest.raises(UserError, match=r"7 x 40 pixels is too small for VGG-16.*needs 8 x 8"):
        vgg.features(params, np.zeros((1, 7, 40, 3), np.float32), (16,))
    (least,) = vgg.features(params, np.zeros((1, 8, 8, 3), np.float32), (16,))
    assert least.shape == (1, 1, 1, 256)


def test_taps_and_parameters_that_do_not_fit():
    params = weights.random_params("vgg16")
    image = np.zeros((1, 32, 32, 3), np.float32)
    for taps in ((31,), (-1, 3)):
        with pytest.raises(ValueError, match="VGG-16 has modules 0 to 30"):
            vgg.features(params, image, taps)
    del params["features_7"]
    with pytest.raises(ValueError, match=r"missing \['features_7'\]"):
        vgg.features(params, image, (8,))
    assert len(vgg.features(params, image, (6,))) == 1
