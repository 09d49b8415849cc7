import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tolerances
from jax import lax
from perceptual import released

from jaxgesture.core.errors import UserError
from jaxgesture.perceptual import i3d, weights

TAPS = ("Conv3d_1a_7x7", "Mixed_3c", "Mixed_4f", "pooled", "logits")
SPACE = {"Conv3d_1a_7x7": 14, "Mixed_3c": 7, "Mixed_4f": 7}  # strides of what is stored
POOLS = [
    i3d.MaxPool((1, 3, 3), (1, 2, 2)),
    i3d.MaxPool((3, 3, 3), (2, 2, 2)),
    i3d.MaxPool((2, 2, 2), (2, 2, 2)),
    i3d.MaxPool((3, 3, 3), (1, 1, 1)),
]
features = jax.jit(functools.partial(i3d.features, taps=TAPS))
preprocess = jax.jit(i3d.preprocess)


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "parity/i3d_seed0.npz")


@pytest.fixture(scope="module")
def clips():
    """The clips behind the golden file, by name."""
    rng = np.random.Generator(np.random.PCG64(6000))
    noise = rng.integers(0, 256, (1, 16, 64, 64, 3), dtype=np.uint8)
    blocks = rng.integers(0, 256, (1, 4, 8, 8, 3), dtype=np.uint8)
    wide = rng.integers(0, 256, (1, 2, 6, 10, 3), dtype=np.uint8)

    def repeated(clip, frames):
        return clip.repeat(frames, 1).repeat(8, 2).repeat(8, 3)

    return {"noise": noise, "blocks": repeated(blocks, 4), "wide": repeated(wide, 2)}


@pytest.mark.parity
@pytest.mark.parametrize("name", ["noise", "blocks", "wide"])
def test_preprocessing(golden, clips, name):
    frames, cells = (2, 16) if name == "wide" else (8, 32)
    ours = released.channels_first(preprocess(clips[name]))[:, ::frames, ::cells, ::cells]
    error = released.error(ours, golden[f"preprocessed_{name}"])
    print(f"{name} {error}")
    assert error <= tolerances.I3D_PREPROCESSED


@pytest.mark.parity
@pytest.mark.parametrize("gain", [1, 1.3])
def test_maps_and_scores(shared, golden, clips, gain):
    params = released.params(shared, "i3d")
    prefix = "" if gain == 1 else "gain13_"
    if gain != 1:
        gained = {"kernel": np.float32(gain)}
        params = jax.tree_util.tree_map_with_path(
            lambda path, leaf: leaf * gained.get(path[-1].key, np.float32(1)), params
        )
    with jax.default_matmul_precision("highest"):
        outputs = {
            name: dict(zip(TAPS, features(params, preprocess(clips[name])), strict=True))
            for name in ("noise", "blocks")
        }
    errors = {}
    for name, maps in outputs.items():
        for tap, ours in maps.items():
            if gain != 1 and tap in SPACE:
                continue
            ours = released.channels_first(ours)
            if tap in SPACE:
                ours = ours[::8, ::2, :: SPACE[tap], :: SPACE[tap]]
            errors[tap, name] = released.error(ours, golden[f"{prefix}{tap}_{name}"])
    difference = (outputs["blocks"]["logits"] - outputs["noise"]["logits"])[0]
    errors["difference", ""] = released.error(difference, golden[f"{prefix}logits_difference"])
    print(errors)
    for (tap, name), error in errors.items():
        assert error <= tolerances.I3D[gain][tap], (tap, name, error)


@pytest.mark.parity
def test_every_stored_array_of_the_network_is_compared(golden):
    plain = {f"{tap}_{name}" for tap in TAPS for name in ("noise", "blocks")}
    gained = {f"gain13_{name}" for name in plain if name.split("_")[0] in ("pooled", "logits")}
    differences = {"logits_difference", "gain13_logits_difference"}
    preprocessed = {f"preprocessed_{name}" for name in ("noise", "blocks", "wide")}
    distances = {name for name in golden.files if name.startswith("frechet")}
    assert set(golden.files) == plain | gained | differences | preprocessed | distances


def reference_convolution(x, kernel, stride):
    return lax.conv_general_dilated(
        x, kernel, (stride,) * 3, "SAME", dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
    )


@pytest.mark.parametrize("frames", [1, 2, 5, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (7, 2)])
def test_convolutions_are_xlas(frames, kernel, stride):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.standard_normal((2, frames, 6, 9, 3)))
        weight = jnp.asarray(rng.standard_normal((kernel, kernel, kernel, 3, 4)))
        ours = i3d._convolve(x, weight, stride)
        wanted = reference_convolution(x, weight, stride)
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 6, 9), (5, 7, 7), (4, 8, 6)])
@pytest.mark.parametrize("module", POOLS)
def test_pools_are_xlas(module, size):
    x = np.random.default_rng(0).uniform(0, 1, (2, *size, 3)).astype(np.float32)
    window, strides = (1, *module.kernel, 1), (1, *module.stride, 1)
    wanted = lax.reduce_window(x, -jnp.inf, lax.max, window, strides, "SAME")
    np.testing.assert_array_equal(i3d._max_pool(jnp.asarray(x), module), wanted)


def test_mean_at_the_end_is_over_windows_of_two_frames():
    x = np.random.default_rng(0).uniform(0, 1, (2, 5, 7, 7, i3d.WIDTH)).astype(np.float32)
    params = weights.random_params("i3d")["logits"]["conv3d"]
    pooled, scores = i3d._head(params, jnp.asarray(x))
    windows = np.stack([x[:, t : t + 2].mean((1, 2, 3)) for t in range(4)], 1)
    np.testing.assert_allclose(pooled, windows.mean(1), rtol=1e-5)
    each = windows @ params["kernel"][0, 0, 0] + params["bias"]
    np.testing.assert_allclose(scores, each.mean(1), atol=1e-4)


@pytest.mark.parametrize("size", [(30, 47), (47, 30), (224, 225), (448, 224), (224, 224)])
def test_preprocessing_is_a_resize_and_a_crop(size):
    frames = np.random.default_rng(0).integers(0, 256, (1, 2, *size, 3), dtype=np.uint8)
    clips = preprocess(frames)
    assert clips.shape == (1, 2, 224, 224, 3) and clips.dtype == np.float32
    whole = [-(-side * 224 // min(size)) for side in size]
    x = jax.image.resize(frames / np.float32(255), (1, 2, *whole, 3), "bilinear", antialias=False)
    top, left = ((side - 224) // 2 for side in whole)
    wanted = 2 * x[:, :, top : top + 224, left : left + 224] - 1
    error = released.error(clips, wanted)
    print(error)
    assert error <= tolerances.I3D_RESIZED
    assert -1 <= np.asarray(clips).min() and np.asarray(clips).max() <= 1


def test_computing_in_bfloat16():
    params = weights.random_params("i3d")
    clips = preprocess(np.random.default_rng(0).integers(0, 256, (1, 9, 8, 8, 3), dtype=np.uint8))
    step = jax.jit(i3d.features, static_argnames=("taps", "dtype"))
    (exact,), (coarse,) = (
        step(params, clips, taps=("Conv3d_1a_7x7",), dtype=dtype) for dtype in (None, "bfloat16")
    )
    assert exact.dtype == coarse.dtype == np.float32
    error = np.linalg.norm(exact - coarse) / np.linalg.norm(exact)
    print(error)
    assert 0 < error <= tolerances.I3D_BFLOAT16


def test_nothing_behind_the_last_tap_is_needed():
    params = {"Conv3d_1a_7x7": weights.random_params("i3d")["Conv3d_1a_7x7"]}
    clips = jax.ShapeDtypeStruct((1, 16, 224, 224, 3), np.float32)
    taps = ("MaxPool3d_2a_3x3", "Conv3d_1a_7x7")
    pooled, first = jax.eval_shape(functools.partial(i3d.features, taps=taps), params, clips)
    assert pooled.shape == (1, 8, 56, 56, 64) and first.shape == (1, 8, 112, 112, 64)


@pytest.mark.parametrize("frames", [9, 16, 25])
def test_shapes_of_the_last_maps(frames):
    clips = jax.ShapeDtypeStruct((2, frames, 224, 224, 3), np.float32)
    maps = jax.eval_shape(
        functools.partial(i3d.features, taps=("Mixed_5c", "pooled", "logits")), i3d.shapes(), clips
    )
    assert [m.shape for m in maps] == [(2, -(-frames // 8), 7, 7, 1024), (2, 1024), (2, 400)]


def test_what_does_not_fit_is_refused():
    params = {}
    clips = jnp.zeros((1, 8, 224, 224, 3))
    with pytest.raises(UserError, match="8 frames are too short for I3D, which needs 9"):
        i3d.logits(params, clips)
    with pytest.raises(ValueError, match="`preprocess` them to 224 x 224"):
        i3d.logits(params, clips[:, :, :100])
    with pytest.raises(ValueError, match="I3D has no Mixed_6a; it has Conv3d_1a_7x7,"):
        i3d.features(params, clips, ("Mixed_6a",))
    with pytest.raises(ValueError, match="frames are float32; give uint8"):
        i3d.preprocess(np.zeros((1, 16, 8, 8, 3), np.float32))
