import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgesture.layers.blocks import ConvNormRelu, ResidualBlock, ResizeBlock
from jaxgesture.layers.conv import conv2d
from jaxgesture.layers.norm import GroupNorm
from jaxgesture.layers.resize import nearest_down2, nearest_up2

X = jnp.asarray(np.random.default_rng(0).standard_normal((2, 6, 6, 8)), jnp.float32)


def randomised(module):
    """The module's parameters with scales and biases that are not 1 and 0."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(module.init, jax.random.key(0), X)["params"]
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(-0.5, 0.8, leaf.shape), jnp.float32), shapes
    )


def conv(params, x):
    bias = params["bias"][None, None, None]
    return conv2d(x, params["kernel"], padding=params["kernel"].shape[0] // 2) + bias


def norm(params, x, groups):
    return GroupNorm(groups).apply({"params": params}, x)


def test_conv_norm_relu():
    module = ConvNormRelu(4, 2, kernel=7)
    p = randomised(module)
    expected = np.maximum(norm(p["norm"], conv(p["conv"], X), 2), 0)
    ours = module.apply({"params": p}, X)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert float(ours.min()) == 0


def test_residual_block_is_pre_activation():
    module = ResidualBlock(4)
    p = randomised(module)
    y = conv(p["conv1"], np.maximum(norm(p["norm1"], X, 4), 0))
    expected = X + conv(p["conv2"], np.maximum(norm(p["norm2"], y, 4), 0))
    np.testing.assert_allclose(module.apply({"params": p}, X), expected, atol=1e-5)


@pytest.mark.parametrize("resize", ["none", "down", "up"])
@pytest.mark.parametrize("features", [8, 5])
def test_resize_block(resize, features):
    module = ResizeBlock(features, 4, resize)
    p = randomised(module)
    change = {"none": lambda x: x, "down": nearest_down2, "up": nearest_up2}[resize]
    # The resize comes after the activation and before the first convolution.
    y = conv(p["conv1"], change(jnp.maximum(norm(p["norm1"], X, 4), 0)))
    y = conv(p["conv2"], jnp.maximum(norm(p["norm2"], y, 4), 0))
    projected = resize != "none" or features != 8
    assert ("conv3" in p) == projected
    shortcut = conv(p["conv3"], change(X)) if projected else X
    np.testing.assert_allclose(module.apply({"params": p}, X), shortcut + y, atol=1e-5)


def test_compute_type():
    for module in (ConvNormRelu(8, 2), ResidualBlock(2), ResizeBlock(8, 2, "up")):
        low = module.clone(dtype=jnp.bfloat16)
        y = jax.eval_shape(low.apply, {"params": randomised(module)}, X.astype(jnp.bfloat16))
        assert y.dtype == jnp.bfloat16
