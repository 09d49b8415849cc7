import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tolerances
from perceptual import released

from jaxgesture.core.errors import UserError
from jaxgesture.perceptual import lpips, weights

NETWORKS = {"alex": "alexnet", "vgg": "vgg16"}


def random_params(net):
    return {
        "features": weights.random_params(NETWORKS[net]),
        "heads": weights.random_params(f"lpips_{net}"),
    }


def random_image(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (*shape, 3)).astype(np.float32)


@pytest.mark.parity
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_distances_and_gradient(shared, net, dtype):
    golden = np.load(shared / "parity/lpips_seed0.npz")
    # The published heads, in the published file's form.
    state = {
        f"lin{k}.model.1.weight": golden[f"{net}_lin{k}"].reshape(1, -1, 1, 1) for k in range(5)
    }
    params = {
        "features": released.params(shared, NETWORKS[net]),
        "heads": weights.from_state_dict(f"lpips_{net}", state, "golden file"),
    }

    def distance(b, a, params):
        layers = lpips.lpips_per_layer(params, a, b, net)
        return lpips.lpips(params, a, b, net).sum(), layers

    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        a, b = (jnp.asarray(released.image(golden, f"image_{k}_u8", dtype)) for k in (0, 1))
        step = jax.jit(jax.value_and_grad(distance, has_aux=True))
        (total, layers), grad = step(b, a, params)
        assert grad.dtype == layers.dtype == dtype
        itself = lpips.lpips(params, a, a, net)
    errors = (
        released.error(total.reshape(-1), golden[f"{net}_distance"].reshape(-1)),
        released.error(layers.reshape(-1), golden[f"{net}_per_layer"].reshape(-1)),
    )
    most, worst = released.percentile_and_error(
        released.channels_first(grad)[:, ::2, ::2], golden[f"{net}_grad_1"]
    )
    print(f"distance, layers {errors}; gradient {most}, {worst}")
    assert max(errors) <= tolerances.LPIPS_DISTANCE
    assert most <= tolerances.LPIPS_GRADIENT
    assert worst <= tolerances.LPIPS_GRADIENT_TIES
    np.testing.assert_array_equal(itself, golden[f"{net}_self"].reshape(-1))


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_one_distance_an_example(net):
    params = random_params(net)
    a, b = random_image(3, 32, 32), random_image(3, 32, 32, seed=1)
    b[1] = a[1]
    values = lpips.lpips(params, a, b, net)
    assert values.shape == (3,)
    assert values[1] == 0 < min(values[0], values[2])
    layers = lpips.lpips_per_layer(params, a, b, net)
    assert layers.shape == (3, 5)
    np.testing.assert_allclose(layers.sum(-1), values, rtol=1e-6)
    np.testing.assert_allclose(lpips.lpips(params, b, a, net), values, rtol=1e-6)


def test_alexnet_maps():
    maps = lpips.alexnet_features(weights.random_params("alexnet"), random_image(1, 64, 64))
    assert [m.shape[1:] for m in maps] == [
        (15, 15, 64), (7, 7, 192), (3, 3, 384), (3, 3, 256), (3, 3, 256),
    ]  # fmt: skip
    assert all(np.asarray(m).min() >= 0 for m in maps)


def test_cells_without_any_active_channel_have_a_finite_gradient():
    params = random_params("alex")
    for module in params["features"].values():
        module["bias"] = np.full_like(module["bias"], -100)
    a, b = jnp.asarray(random_image(1, 31, 31)), jnp.asarray(random_image(1, 31, 31, seed=1))
    step = jax.jit(jax.value_and_grad(lambda b, p: lpips.lpips(p, a, b, "alex").sum()))
    value, grad = step(b, params)
    assert value == 0
    np.testing.assert_array_equal(grad, 0)


def test_unknown_net_and_small_images():
    params = random_params("alex")
    image = np.zeros((1, 30, 64, 3), np.float32)
    with pytest.raises(UserError, match="30 x 64 pixels is too small for AlexNet.*31 x 31"):
        lpips.lpips(params, image, image, "alex")
    with pytest.raises(ValueError, match="no net 'squeeze'; choose one of alex, vgg"):
        lpips.lpips(params, image, image, "squeeze")
    with pytest.raises(ValueError, match="not the parameters of VGG-16"):
        lpips.lpips(params, image, image, "vgg")
