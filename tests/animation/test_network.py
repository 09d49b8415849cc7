import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from animation.weights import TINY, ablated, apply, numpy_variables, pictures, shapes
from tolerances import STAGE1_BATCHING

from jaxgesture.animation import model, warping
from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.enhancer import smooth_kernel
from jaxgesture.animation.extractor import (
    expected_angle,
    ordinal_kernel,
    pack_motion,
    rotation_matrix,
    unpack_motion,
)
from jaxgesture.animation.network import AnimationNetwork
from jaxgesture.core import tree
from jaxgesture.core.errors import UserError
from jaxgesture.layers.conv import uniform_fan_in

warp = jax.jit(warping.warp)
D = TINY.feature_size
IMAGES = pictures(2)


@pytest.fixture(scope="module")
def variables():
    return numpy_variables()


@pytest.fixture(scope="module")
def source(variables):
    return model.encode_source(TINY, variables, IMAGES)


@pytest.fixture(scope="module")
def features(variables):
    return model.extract_motion(TINY, variables, IMAGES)


def test_shapes_and_ranges(variables, source, features):
    assert source.feature.shape == (2, 8, 8, 16)
    assert [m.shape for m in source.scene] == [(2, 16, 16, 16), (2, 32, 32, 8)]
    assert features.shape == (2, D) == (2, 147)
    assert np.abs(features).max() <= 1 + 1e-6
    assert np.abs(features[0] - features[1]).max() > 1e-3  # it sees the image
    images = np.asarray(model.animate(TINY, variables, source, features))
    assert images.shape == (2, 64, 64, 3) and images.dtype == np.float32
    assert (images > 0).all() and (images < 1).all() and images.std() > 0.01


def test_parts_joined_are_the_network(variables, source, features):
    joined = model.animate(TINY, variables, source, features)
    np.testing.assert_allclose(joined, apply(TINY, variables, IMAGES, IMAGES), atol=STAGE1_BATCHING)
    crossed = model.animate(TINY, variables, source, features[::-1])
    assert np.abs(crossed - joined).max() > 1e-4  # the pose reaches the picture


def test_a_batch_of_poses_is_the_poses_one_by_one(variables, source, features):
    first = jax.tree.map(lambda x: x[:1], source)
    batch = model.animate(TINY, variables, first, features)
    for i in range(2):
        single = model.animate(TINY, variables, first, features[i : i + 1])
        np.testing.assert_allclose(single[0], batch[i], atol=STAGE1_BATCHING)


def test_bfloat16_computes_the_same_roughly(variables, features):
    low = model.extract_motion(ablated(dtype="bfloat16"), variables, IMAGES)
    assert low.dtype == jnp.float32  # angles and rotations are never of low precision
    assert 0 < np.abs(low - features).max() < 0.1


@pytest.mark.slow
def test_recomputing_gives_the_same_gradient_and_keeps_less():
    # In float64: rounding moves pixels over the kinks of the warp and the activations.
    sizes = {"decoder_blocks": 4, "enhancer_blocks": 4, "dtype": "float64"}

    def compared(**changes):
        """A function of the gradient, its arguments, and how many numbers it keeps."""
        network = AnimationNetwork(ablated(**changes, **sizes))

        def loss(params, stats, source, driving):
            image, _ = network.apply(
                {"params": params, "batch_stats": stats}, source, driving, train=True,
                mutable=["batch_stats"],
            )  # fmt: skip
            return (image**2).mean()

        values = numpy_variables(ablated(**sizes))
        values = jax.tree.map(lambda x: np.asarray(x, np.float64), values)
        images = IMAGES.astype(np.float64)
        arguments = values["params"], values["batch_stats"], images, images[::-1]
        pull = jax.eval_shape(lambda *x: jax.vjp(loss, *x)[1], *arguments)
        kept = sum(leaf.size for leaf in jax.tree.leaves(pull))
        return jax.jit(jax.grad(loss)), arguments, kept

    with jax.enable_x64(True):
        gradient, arguments, most = compared()
        plain = jax.device_get(gradient(*arguments))
        gradient, arguments, less = compared(remat=True)
        again = jax.device_get(gradient(*arguments))
        some = compared(remat=True, remat_policy="products")[2]
    names = tree.flatten(plain)
    assert names.keys() == tree.flatten(again).keys()
    largest = max(np.abs(leaf).max() for leaf in names.values())
    for name, leaf in tree.flatten(again).items():
        # A bias in front of a normalisation has no gradient but rounding.
        scale = max(np.abs(names[name]).max(), 1e-4 * largest)
        np.testing.assert_allclose(leaf, names[name], rtol=0, atol=1e-9 * scale, err_msg=name)
    print(f"numbers kept for the backward pass: {most}, products {some}, blocks {less}")
    assert less < 0.6 * most and less < some < 0.8 * most


@pytest.mark.parametrize(
    ("switch", "prefixes"),
    [
        ("deviation", ("decoder/mask_up", "decoder/re_up")),
        ("enhancer", ("enhancer/",)),
        ("motion_decoder", ("motion_decoder/",)),
    ],
)
def test_an_ablation_leaves_out_its_parameters_only(switch, prefixes):
    whole = set(tree.flatten(shapes(TINY)["params"]))
    less = set(tree.flatten(shapes(ablated(**{switch: False}))["params"]))
    assert less == {name for name in whole if not name.startswith(prefixes)}
    assert less < whole


def test_without_the_enhancer_the_last_map_is_the_feature(variables, source):
    config = ablated(enhancer=False)
    code = model.encode_source(config, variables, IMAGES)
    assert code.feature.shape == source.feature.shape
    assert np.abs(code.feature - source.feature).max() > 1e-3
    np.testing.assert_allclose(code.scene[0], source.scene[0], atol=1e-5)


def test_without_the_deviation_the_scene_is_not_blended_in(variables, source, features):
    config = ablated(deviation=False)
    code = jax.eval_shape(functools.partial(model.encode_source, config), variables, IMAGES)
    assert code.scene == ()
    plain = model.animate(config, variables, source._replace(scene=()), features)
    blended = model.animate(TINY, variables, source, features)
    assert plain.shape == blended.shape and np.abs(plain - blended).max() > 1e-3
    # With it, what is blended in comes from the source alone.
    dark = source._replace(scene=tuple(0 * m for m in source.scene))
    assert np.abs(model.animate(TINY, variables, dark, features) - blended).max() > 1e-3


def test_without_the_motion_decoder_rotations_are_interpolated(variables, features):
    rotation, _ = unpack_motion(features, TINY.field)
    decoded = apply(TINY, variables, rotation, method="decode_rotation")
    plain = apply(ablated(motion_decoder=False), variables, rotation, method="decode_rotation")
    assert decoded.shape == plain.shape == (2, 8, 8, 3, 3)
    assert np.abs(decoded).max() <= 1 and np.abs(decoded - plain).max() > 1e-3
    # Inside, an output cell lies a quarter of a cell from the nearest input cell.
    r = np.asarray(rotation)
    expected = 0.75 * (0.75 * r[:, 1, 1] + 0.25 * r[:, 1, 2]) + 0.25 * (
        0.75 * r[:, 2, 1] + 0.25 * r[:, 2, 2]
    )
    np.testing.assert_allclose(plain[:, 3, 3], expected, atol=1e-6)


def test_expected_angle_of_a_certain_bin():
    logits = np.full((1, 1, 3, 66), -1e4, np.float32)
    for cell, which in enumerate((0, 33, 65)):
        logits[0, 0, cell, which] = 0
    angles = np.asarray(expected_angle(jnp.asarray(logits), AnimationConfig()))[0, 0]
    np.testing.assert_allclose(angles * 180 / 3.14, [-99, 0, 96], atol=1e-4)
    even = expected_angle(jnp.zeros((1, 1, 1, 66)), AnimationConfig())
    assert float(even[0, 0, 0]) * 180 / 3.14 == pytest.approx(-1.5, abs=1e-4)


def test_rotation_is_pitch_yaw_roll():
    yaw, pitch, roll = np.random.default_rng(0).uniform(-3, 3, (3, 50))
    ours = rotation_matrix(*(jnp.asarray(a, jnp.float32) for a in (yaw, pitch, roll)))

    def about(axis, angle):
        matrix = np.zeros((50, 3, 3))
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        matrix[:, axis, axis] = 1
        matrix[:, i, i] = matrix[:, j, j] = np.cos(angle)
        matrix[:, i, j], matrix[:, j, i] = -np.sin(angle), np.sin(angle)
        return matrix

    np.testing.assert_allclose(ours, about(0, pitch) @ about(1, yaw) @ about(2, roll), atol=1e-6)
    gram = np.asarray(ours) @ np.asarray(ours).swapaxes(-1, -2)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3)[None], gram.shape), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(np.asarray(ours)), 1, atol=1e-5)


def test_pack_and_unpack():
    rng = np.random.default_rng(0)
    rotation, translation = rng.standard_normal((2, 4, 4, 3, 3)), rng.standard_normal((2, 3))
    feature = pack_motion(jnp.asarray(rotation), jnp.asarray(translation))
    assert feature.shape == (2, D)
    np.testing.assert_array_equal(
        feature[:, 9:18], feature.dtype.type(rotation)[:, 0, 1].reshape(2, 9)
    )
    np.testing.assert_array_equal(feature[:, -3:], feature.dtype.type(translation))
    back, moved = unpack_motion(feature, 4)
    np.testing.assert_allclose(back, rotation, rtol=1e-6)
    np.testing.assert_allclose(moved, translation, rtol=1e-6)


def sampled(volume, places):
    """scipy's trilinear samples of (h, w, z) at places (..., 3) in the order x, y, z."""
    sizes = np.array(volume.shape)
    order = places[..., [1, 0, 2]]
    index = ((order + 1) * sizes - 1) / 2
    return scipy.ndimage.map_coordinates(
        volume, np.moveaxis(index, -1, 0), order=1, mode="grid-constant"
    )


def lattice(h, w, z):
    y, x, d = np.meshgrid(*(np.linspace(-1, 1, n) for n in (h, w, z)), indexing="ij")
    return np.stack([x, y, d], -1)


@pytest.mark.parametrize("moving", [False, True])
def test_warp_is_plain_sampling_at_its_places(moving):
    h, w, z = 4, 5, 6
    rng = np.random.default_rng(0)
    volume = rng.standard_normal((2, h, w, z))
    rotation = rng.uniform(-0.5, 0.5, (2, h, w, 3, 3)) * moving
    translation = rng.uniform(-0.3, 0.3, (2, 3)) * moving
    ours = warp(*(jnp.asarray(a, jnp.float32) for a in (volume, rotation, translation)))
    p = lattice(h, w, z)
    for n in range(2):
        rotated = np.einsum("hwij,hwzj->hwzi", rotation[n], p)
        # Nothing moves: each voxel still reads its own lattice place, which is not its centre.
        q = p + rotated + translation[n]
        np.testing.assert_allclose(ours[n], sampled(volume[n], q), atol=1e-4)
    if not moving:
        assert np.abs(np.asarray(ours) - volume).max() > 0.1


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1, 1])
def test_translation_reads_further_on_so_that_content_moves_back(axis, sign):
    n = 17
    p = lattice(n, n, n)
    blob = np.exp(-8 * (p**2).sum(-1))[None]
    still = jnp.zeros((1, n, n, 3, 3))
    move = np.zeros((1, 3), np.float32)
    move[0, axis] = sign * 0.25

    def centre(translation):
        values = np.asarray(warp(jnp.asarray(blob, jnp.float32), still, jnp.asarray(translation)))[
            0
        ]
        return np.array([(values * p[..., i]).sum() / values.sum() for i in range(3)])

    moved = centre(move) - centre(0 * move)
    expected = np.zeros(3)
    expected[axis] = -sign * 0.25
    np.testing.assert_allclose(moved, expected, atol=0.02)


def test_sizes_that_cannot_be():
    for change in ({"size": 100}, {"size": 0}, {"dtype": "float16"}):
        with pytest.raises(UserError, match="choose"):
            AnimationConfig(**change)


def test_smooth_initial_volume_is_alike_at_neighbouring_depths():
    key, shape, fan_in = jax.random.key(0), (3, 3, 32, 64), 288
    plain = uniform_fan_in(fan_in)(key, shape)
    np.testing.assert_array_equal(smooth_kernel(fan_in, 0.0)(key, shape), plain)
    smooth = np.asarray(smooth_kernel(fan_in, 0.06)(key, shape)).reshape(-1, 64)
    # At every depth, at both ends too, as large as PyTorch's default.
    np.testing.assert_allclose(smooth.std(0), np.asarray(plain).std(), rtol=0.12)
    correlation = np.corrcoef(smooth.T)
    assert np.diag(correlation, 1).min() > 0.9
    assert np.abs(np.diag(correlation, 24)).max() < 0.3


def test_ordinal_heads_turn_smoothly_with_the_map():
    kernel = np.asarray(ordinal_kernel(6.0)(jax.random.key(0), (1, 1, 256, 66)))[0, 0]
    plain = np.asarray(ordinal_kernel(0.0)(jax.random.key(0), (1, 1, 256, 66)))[0, 0]
    np.testing.assert_array_equal(
        plain, uniform_fan_in(256)(jax.random.key(0), (1, 1, 256, 66))[0, 0]
    )
    direction = (kernel - plain)[:, -1] / 6.0
    assert np.linalg.norm(direction) == pytest.approx(1, abs=0.15)
    maps = np.linspace(-2, 2, 41)[:, None] * direction / np.linalg.norm(direction) ** 2

    def degrees(kernel):
        logits = jnp.asarray(maps @ kernel, jnp.float32)[None, None]
        return np.asarray(expected_angle(logits, AnimationConfig()))[0, 0] * 180 / 3.14

    turned = degrees(kernel)
    # The steepest slope is slope * 99 degrees * the variance of the ramp, 1/3: 19.8 in a tenth.
    assert (np.diff(turned) > 0).all() and np.diff(turned).max() < 20.5
    assert turned[0] < -75 and turned[-1] > 75
    assert np.ptp(degrees(plain)) < 20
