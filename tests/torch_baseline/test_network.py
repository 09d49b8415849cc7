"""Every block of the twin against its JAX original in float64, and the whole network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tolerances
import torch
from animation.weights import pictures
from torch_baseline.twins import (
    CONFIG,
    WHOLE,
    Place,
    channels_first,
    compare,
    in_float64,
    randomise,
    table,
)

from jaxgesture.animation import decoder, encoder, enhancer, extractor, motion_decoder, warping
from jaxgesture.animation import network as jax_network
from jaxgesture.layers import blocks as jax_blocks
from jaxgesture.torch_baseline import blocks, generator, network
from jaxgesture.torch_baseline import extractor as twin_extractor
from jaxgesture.torch_baseline import warping as twin_warping

DTYPE = "float64"


@pytest.fixture(scope="module")
def check():
    """Compares a part with `twins.compare`, and prints what all parts gave at the end."""
    errors = {}

    def run(name, *arguments):
        found = compare(*arguments)
        errors.update({f"{name}: {what}": value for what, value in found.items()})
        assert max(found.values()) <= tolerances.TWIN_BLOCKS, found

    yield run
    table("Blocks of PyTorch against JAX, float64", errors, tolerances.TWIN_BLOCKS)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def template(module, *inputs, **options):
    """Shapes of a Linen module's variables."""
    with jax.enable_x64(True):
        return jax.eval_shape(
            lambda key, *x: module.init(key, *x, **options), jax.random.key(0), *inputs
        )


def plain(module):
    """A Linen module as `compare` wants it."""
    return lambda variables, *x: ((module.apply(variables, *x),), None)


FIRST = Place("encoder/first", "generator.first.")
RESIDUAL = Place("enhancer/res_ms_0", "generator.res_ms.0.")
RESIZE = Place("enhancer/unet/down_0", "generator.Res_Feat.down_0.")
BLOCKS = {
    "conv_norm_relu": (
        lambda: blocks.ConvNormRelu(6, 8, 4, kernel=7),
        lambda: jax_blocks.ConvNormRelu(8, 4, 7, dtype=DTYPE),
        (2, 6, 8, 6),
        FIRST,
    ),
    "residual": (
        lambda: blocks.ResidualBlock(12, 8),  # 6 groups: the largest divisor
        lambda: jax_blocks.ResidualBlock(8, dtype=DTYPE),
        (2, 4, 6, 12),
        RESIDUAL,
    ),
    "resize_none": (
        lambda: blocks.ResizeBlock(8, 8, 4),
        lambda: jax_blocks.ResizeBlock(8, 4, dtype=DTYPE),
        (2, 4, 6, 8),
        RESIZE,
    ),
    "resize_none_wider": (
        lambda: blocks.ResizeBlock(8, 12, 4),
        lambda: jax_blocks.ResizeBlock(12, 4, dtype=DTYPE),
        (2, 4, 6, 8),
        RESIZE,
    ),
    "resize_down": (
        lambda: blocks.ResizeBlock(8, 12, 4, "down"),
        lambda: jax_blocks.ResizeBlock(12, 4, "down", dtype=DTYPE),
        (2, 4, 6, 8),
        RESIZE,
    ),
    "resize_up": (
        lambda: blocks.ResizeBlock(8, 8, 4, "up"),
        lambda: jax_blocks.ResizeBlock(8, 4, "up", dtype=DTYPE),
        (2, 4, 6, 8),
        RESIZE,
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_block(name, check):
    make, make_jax, shape, place = BLOCKS[name]
    ours, theirs, x = make(), make_jax(), draw(*shape)
    check(name, ours, lambda x: (ours(x),), plain(theirs), template(theirs, x), [x], place)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_bottleneck(stride, train, check):
    ours = twin_extractor.Bottleneck(8, stride).train(train)
    theirs, x = extractor.Bottleneck(stride, DTYPE), draw(3, 4, 6, 8)

    def apply(variables, x):
        y, updates = theirs.apply(variables, x, train=train, mutable=["batch_stats"])
        return (y,), updates["batch_stats"] if train else None

    name = f"bottleneck, stride {stride}, {'training' if train else 'evaluation'}"
    place = Place("extractor/block2", "pose_base.block2.")
    shapes = template(theirs, x, train=train)
    check(name, ours, lambda x: (ours(x),), apply, shapes, [x], place)


def test_encoder(check):
    ours, theirs = network.AnimationNetwork(CONFIG).generator, encoder.ImageEncoder(CONFIG)
    images = pictures(2).astype(np.float64)
    for name in ("res_ms", "Res_Feat", "pose_up", "decoder", "warp"):
        delattr(ours, name)

    def apply(variables, x):
        return theirs.apply(variables, x), None

    shapes, place = template(theirs, images), Place("encoder", "generator.")
    check("encoder", ours, ours.encode, apply, shapes, [images], place)


def test_unet(check):
    width = CONFIG.encoder_widths[-1]
    ours, theirs = generator.UNet(width, CONFIG.enhancer_widths), enhancer.UNet(CONFIG)
    x, place = draw(2, 4, 8, width), Place("enhancer/unet", "generator.Res_Feat.")
    check("U-Net", ours, lambda x: (ours(x),), plain(theirs), template(theirs, x), [x], place)


@pytest.mark.parametrize("train", [False, True])
def test_extractor(train, check):
    ours = twin_extractor.DeviationExtractor(CONFIG).train(train)
    theirs = extractor.DeviationExtractor(CONFIG)
    names = ("yaw", "pitch", "roll")

    def function(image):
        logits, translation = ours(image)
        return *(logits[name] for name in names), translation, ours.rotation(logits)

    def apply(variables, image):
        (logits, translation), updates = theirs.apply(
            variables, image, train=train, mutable=["batch_stats"]
        )
        angles = {name: extractor.expected_angle(logits[name], CONFIG) for name in names}
        rotation = extractor.rotation_matrix(**angles)
        # Both hold a cell's matrix in the last axis; `compare` takes it for channels.
        rotation = jnp.moveaxis(rotation.reshape(*rotation.shape[:3], 9), 1, -1)
        outputs = *(logits[name] for name in names), translation, rotation
        return outputs, updates["batch_stats"] if train else None

    images = pictures(3).astype(np.float64)
    name = f"extractor, {'training' if train else 'evaluation'}"
    shapes, place = template(theirs, images), Place("extractor", "pose_base.")
    check(name, ours, function, apply, shapes, [images], place)


def test_motion_decoder(check):
    ours, theirs = generator.MotionDecoder(CONFIG), motion_decoder.MotionDecoder(CONFIG)
    x, place = draw(2, 4, 8, 9), Place("motion_decoder", "generator.pose_up.")
    shapes = template(theirs, x)
    check("motion decoder", ours, lambda x: (ours(x),), plain(theirs), shapes, [x], place)


def test_warp(check):
    ours = twin_warping.Warp(4, 6)
    feature = draw(2, 4, 4, 6)
    rotation, translation = 0.4 * draw(2, 4, 4, 9, seed=1), 0.2 * draw(2, 3, seed=2)

    def apply(_, feature, rotation, translation):
        rotation = rotation.reshape(2, 4, 4, 3, 3)
        return (warping.warp(feature, rotation, translation),), None

    check("warp", ours, lambda *x: (ours(*x),), apply, {}, [feature, rotation, translation])


def decode(module, warped, *maps):
    """The decoder of either side with encoder maps 2 and 1, or without."""
    return module(warped, module.scene((None, *maps[::-1], None)))


@pytest.mark.parametrize("deviation", [True, False])
def test_decoder(deviation, check):
    config = dataclasses.replace(CONFIG, deviation=deviation)
    ours, theirs = generator.DeviationDecoder(config), decoder.DeviationDecoder(config)
    inputs = [draw(2, 4, 4, 16)]
    if deviation:
        inputs += [draw(2, 8, 8, 8, seed=1), draw(2, 16, 16, 8, seed=2)]

    def apply(variables, *x):
        return (theirs.apply(variables, *x, method=decode),), None

    name = "decoder" if deviation else "decoder, no deviation"
    shapes, place = template(theirs, *inputs, method=decode), Place("decoder", "generator.decoder.")
    check(name, ours, lambda *x: (decode(ours, *x),), apply, shapes, inputs, place)


@pytest.mark.slow
def test_whole_network_without_what_can_be_left_out(check):
    """`test_step` has the whole network, through its losses."""
    config = dataclasses.replace(CONFIG, deviation=False, enhancer=False, motion_decoder=False)
    ours = network.AnimationNetwork(config).train()
    theirs = jax_network.AnimationNetwork(config)
    images = [pictures(2, seed).astype(np.float64) for seed in (0, 1)]

    def apply(variables, *images):
        image, updates = theirs.apply(variables, *images, train=True, mutable=["batch_stats"])
        return (image,), updates["batch_stats"]

    shapes = template(theirs, *images)
    check("network, all ablations", ours, lambda *x: (ours(*x),), apply, shapes, images)


@pytest.mark.parametrize("off", ["nothing", "deviation", "enhancer", "motion_decoder"])
def test_names_are_those_that_the_converter_knows(off):
    config = CONFIG if off == "nothing" else dataclasses.replace(CONFIG, **{off: False})
    image = np.zeros((1, 64, 64, 3))
    shapes = in_float64(template(jax_network.AnimationNetwork(config), image, image))
    ours = network.AnimationNetwork(config).double()
    WHOLE.from_torch(ours.state_dict(), shapes)  # each name used once, each leaf filled once


def test_a_source_serves_a_batch_of_poses():
    ours = randomise(network.AnimationNetwork(CONFIG)).eval()
    images = torch.from_numpy(channels_first(pictures(3).astype(np.float64)))
    with torch.no_grad():
        source, features = ours.encode_source(images[:1]), ours.extract_motion(images)
        assert features.shape == (3, CONFIG.feature_size)
        batch = ours.animate(source, features)
        for i in range(3):
            single = ours(images[:1], images[i : i + 1])
            torch.testing.assert_close(batch[i : i + 1], single, rtol=0, atol=1e-10)
    assert (batch[0] - batch[1]).abs().max() > 1e-3


def test_initial_weights_follow_the_configuration():
    config = dataclasses.replace(
        CONFIG, bins=66, head_slope=0.0, enhancer_widths=(16, 16), encoder_widths=(8, 8, 8, 64)
    )

    def make(**changes):
        torch.manual_seed(0)
        return network.AnimationNetwork(dataclasses.replace(config, **changes))

    default, gain = make(), make(motion_gain=0.25)
    weight, smaller = (m.generator.pose_up.out_1[0].weight for m in (default, gain))
    torch.testing.assert_close(smaller, 0.25 * weight)
    heads = make(head_slope=4.0).pose_base
    change = (heads.fc_yaw_down8.weight - default.pose_base.fc_yaw_down8.weight)[:, :, 0, 0]
    change = change.detach().numpy()
    # One direction of mean 0 times a ramp from -1 to 1 along the bins.
    np.testing.assert_allclose(change, np.linspace(-1, 1, 66)[:, None] * change[-1], atol=1e-5)
    assert abs(change[-1].mean()) < 1e-6
    width = change.shape[1]
    assert 2 < np.linalg.norm(change[-1]) < 6 and width == config.extractor_widths[-1]
    smooth = make(volume_smoothness=0.06).generator.Res_Feat.out_o[2].weight
    rough = default.generator.Res_Feat.out_o[2].weight
    ours = smooth.detach().flatten(1).numpy()
    theirs = enhancer_smoothed(rough.detach().numpy(), 0.06)
    np.testing.assert_allclose(ours, theirs.reshape(len(theirs), -1), atol=1e-6)
    assert np.diag(np.corrcoef(ours), 1).min() > 0.8


def enhancer_smoothed(weight, width):
    """The JAX package's smoothing of a PyTorch kernel."""
    kernel = jnp.asarray(weight.transpose(2, 3, 1, 0))
    original = enhancer.uniform_fan_in
    enhancer.uniform_fan_in = lambda fan_in: lambda key, shape, dtype: kernel
    try:
        smoothed = enhancer.smooth_kernel(1, width)(jax.random.key(0), kernel.shape)
    finally:
        enhancer.uniform_fan_in = original
    return np.asarray(smoothed).transpose(3, 2, 0, 1)
