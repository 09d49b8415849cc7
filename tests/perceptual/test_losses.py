import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tolerances
from perceptual import released

from jaxgesture.core.errors import UserError
from jaxgesture.perceptual import losses, weights


def random_image(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (*shape, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def vgg16():
    return weights.random_params("vgg16")


@pytest.mark.parity
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_global_loss_and_gradient(shared, dtype):
    golden = np.load(shared / "parity/vgg19_features_seed0.npz")
    params = released.params(shared, "vgg19")

    def loss(generated, real, params):
        terms = losses.pyramid_loss(params, generated, real)
        return 10 * terms.sum(), terms

    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        generated, real = (
            jnp.asarray(released.image(golden, f"image_{k}_u8", dtype))
            for k in ("generated", "real")
        )
        step = jax.jit(jax.value_and_grad(loss, has_aux=True))
        (total, terms), grad = step(generated, real, params)
        assert grad.dtype == terms.dtype == dtype
    errors = (
        released.relative(terms, golden["loss_terms"]),
        released.relative(total, golden["loss_total"]),
    )
    most, worst = released.percentile_and_error(
        released.channels_first(grad)[:, ::2, ::2], golden["grad_generated"]
    )
    print(f"terms, total {errors}; gradient {most}, {worst}")
    assert max(errors) <= tolerances.VGG_LOSSES
    assert most <= tolerances.VGG_GRADIENT
    # One deep unit that float32 rounds over a kink changes all pixels that it sees, and which units
    # are that close hangs on the CPU; in float64 there are none.
    assert dtype == "float32" or worst <= tolerances.VGG_GRADIENT_KINKS


@pytest.mark.parity
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_local_loss_and_gradient(shared, dtype):
    golden = np.load(shared / "parity/vgg16_local_loss_seed0.npz")
    params = released.params(shared, "vgg16")

    def loss(generated, real, mask, params):
        hole = 1 - mask
        perceptual, style = losses.local_terms(params, generated, real)
        terms = [
            perceptual,
            style,
            losses.total_variation(generated),
            losses.masked_l1(generated, real, mask),
            losses.total_variation(generated * hole),
            losses.masked_l1(generated, real, hole),
        ]
        terms = jnp.stack([term.mean() for term in terms])
        weighted = jnp.asarray([0.05, 120, 0, 5, 0.1, 3], terms.dtype) * terms
        return weighted.sum(), terms

    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        generated, real = (
            jnp.asarray(released.image(golden, f"image_{k}_u8", dtype))
            for k in ("generated", "real")
        )
        mask = jnp.asarray(golden["mask"].transpose(0, 2, 3, 1), dtype)
        maps = jax.jit(losses.local_features)(params, real)
        step = jax.jit(jax.value_and_grad(loss, has_aux=True))
        (total, terms), grad = step(generated, real, mask, params)
        assert grad.dtype == terms.dtype == dtype
    map_errors = [
        released.error(released.channels_first(m)[::8, ::4, ::4], golden[f"enc_{k}"])
        for k, m in enumerate(maps, 1)
    ]
    errors = (
        released.relative(terms, golden["losses"]),
        released.relative(total, golden["weighted_total"]),
    )
    gradient = released.channels_first(grad)[:, ::2, ::2]
    most, worst = released.percentile_and_error(gradient, golden["grad_generated"])
    beyond = np.abs(gradient - golden["grad_generated"]) > tolerances.LOCAL_GRADIENT_KINKS
    print(f"maps {map_errors}; terms, total {errors}; gradient {most}, {worst}, {beyond.sum()}")
    assert max(map_errors) <= tolerances.LOCAL_MAPS
    assert max(errors) <= tolerances.LOCAL_LOSSES
    assert most <= tolerances.LOCAL_GRADIENT
    if dtype == "float64":
        assert not beyond.any()
    else:
        assert beyond.sum() <= tolerances.LOCAL_GRADIENT_FLIPPED
        assert worst <= tolerances.LOCAL_GRADIENT_SIGNS


def test_pyramid_of_other_scales_is_part_of_the_whole():
    params = weights.random_params("vgg19")
    generated, real = random_image(1, 64, 64), random_image(1, 64, 64, seed=1)
    terms = losses.pyramid_loss(params, generated, real, (1, 4))
    assert terms.shape == (2, 5)
    assert np.asarray(terms).min() > 0
    np.testing.assert_allclose(
        losses.pyramid_loss(params, generated, real, (4,)), terms[1:], rtol=1e-5
    )
    np.testing.assert_array_equal(losses.pyramid_loss(params, real, real, (4,)), 0)


def test_pyramid_of_too_small_images_names_the_scale():
    params = weights.random_params("vgg19")
    image = np.zeros((1, 64, 120, 3), np.float32)
    with pytest.raises(UserError, match=r"64 x 120.* 8 x 15 at scale 8.*at least 121 pixels"):
        losses.pyramid_loss(params, image, image)
    # What the message promises: 121 pixels are enough.
    image = jax.ShapeDtypeStruct((1, 121, 121, 3), np.float32)
    assert jax.eval_shape(losses.pyramid_loss, params, image, image).shape == (4, 5)


def test_the_other_vgg_is_refused(vgg16):
    image = np.zeros((1, 128, 128, 3), np.float32)
    with pytest.raises(ValueError, match="not the parameters of VGG-19.*features_17"):
        losses.pyramid_loss(vgg16, image, image)
    with pytest.raises(ValueError, match="not the parameters of VGG-16.*features_16"):
        losses.local_terms(weights.random_params("vgg19"), image, image)


def test_local_terms_are_per_example(vgg16):
    generated, real = random_image(3, 16, 16), random_image(3, 16, 16, seed=1)
    real[1] = generated[1]
    together = losses.local_terms(vgg16, generated, real)
    for values in together:
        assert values.shape == (3,)
        assert values[1] == 0 < min(values[0], values[2])
    alone = losses.local_terms(vgg16, generated[2:], real[2:])
    np.testing.assert_allclose([v[2] for v in together], [v[0] for v in alone], rtol=1e-5)


def test_style_by_hand():
    ours = jnp.asarray([[[[1.0, 2.0], [3.0, 0.0]]]])  # one row of two pixels, two channels
    # Gram matrices [[10, 2], [2, 4]] and [[0, 0], [0, 0]]; 4 numbers in the map.
    assert losses.style([ours], [jnp.zeros_like(ours)]) == pytest.approx(18 / 4 / 4)
    assert losses.feature_l1([ours, ours], [ours + 1, ours - 2]) == pytest.approx(3)


def test_real_images_carry_no_gradient_and_equal_ones_none_at_all(vgg16):
    image = jnp.asarray(random_image(1, 16, 16))
    mask = jnp.ones((1, 16, 16, 1))

    def total(generated, real):
        perceptual, style = losses.local_terms(vgg16, generated, real)
        return (perceptual + style + losses.masked_l1(generated, real, mask)).sum()

    other = jnp.asarray(random_image(1, 16, 16, seed=1))
    ours, theirs = jax.grad(total, (0, 1))(image, other)
    assert np.abs(ours).max() > 0
    np.testing.assert_array_equal(theirs, 0)
    np.testing.assert_array_equal(jax.grad(total)(image, image), 0)
    vgg19 = weights.random_params("vgg19")
    grad = jax.grad(lambda a: losses.pyramid_loss(vgg19, a, image, (1,)).sum())(image)
    np.testing.assert_array_equal(grad, 0)
    flat = jnp.full((1, 4, 4, 3), 0.5)
    np.testing.assert_array_equal(jax.grad(lambda a: losses.total_variation(a).sum())(flat), 0)


def test_real_side_of_the_pyramid_carries_no_gradient():
    params = weights.random_params("vgg19")
    generated, real = random_image(1, 16, 16), random_image(1, 16, 16, seed=1)

    def total(generated, real):
        return losses.pyramid_loss(params, generated, real, (1,)).sum()

    ours, theirs = jax.grad(total, (0, 1))(jnp.asarray(generated), jnp.asarray(real))
    assert np.abs(ours).max() > 0
    np.testing.assert_array_equal(theirs, 0)


def test_total_variation_by_hand():
    image = jnp.zeros((2, 2, 3, 1)).at[0, 0, 1, 0].set(6.0)
    # Vertical: 6 in one of 3 pairs; horizontal: 6 in two of 4.
    np.testing.assert_allclose(losses.total_variation(image), [2 + 3, 0])


def test_masked_l1_by_hand():
    generated = jnp.zeros((3, 2, 2, 3)).at[:, 0, 0].set(0.5)
    mask = jnp.zeros((3, 2, 2, 1)).at[0, 0].set(1.0).at[1, 1].set(1.0)
    real = jnp.zeros_like(generated)
    # Half of the first mask's pixels differ by .5, none of the second's; the third is empty.
    np.testing.assert_allclose(losses.masked_l1(generated, real, mask), [0.25, 0, 0], rtol=1e-6)
    grad = jax.grad(lambda g: losses.masked_l1(g, real, mask).sum())(generated)
    assert np.isfinite(grad).all() and not np.any(grad[2])
