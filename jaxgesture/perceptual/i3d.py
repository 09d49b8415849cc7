"""I3D (arXiv 1705.07750): Inception of 2-d images blown up to clips, trained on Kinetics-400.

A unit, with zero padding as TensorFlow's SAME has it and batch normalisation in inference form, is
    unit(x) = relu((K * x - mean) / sqrt(var + 1e-5) * scale + bias),
a mixed block four branches of units with kernels of side k, side by side in the channels,
    mixed(x) = [unit1(x), unit3(unit1(x)), unit3(unit1(x)), unit1(max over 3 x 3 x 3 of x)],
and the scores of the 400 classes are a linear map of the last block's mean over windows of
2 x 7 x 7, and its mean over time.

Convolutions over frames are computed as convolutions over images, which are those that are fast on
a CPU. The first one's frames are laid side by side in the channels. Kernels g0, g1, g2 of three
frames make two frames at a time from the four d0 ... d3 that these see, with four convolutions
instead of six (Winograd's minimal filtering, as in arXiv 1509.09308, but along time alone):
    m0 = g0 * (d0 - d2),  m1 = (g0 + g1 + g2) / 2 * (d1 + d2),
    m3 = g2 * (d1 - d3),  m2 = (g0 - g1 + g2) / 2 * (d2 - d1),
    y0 = m0 + m1 + m2,    y1 = m1 - m2 - m3.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from jaxgesture.core.errors import UserError
from jaxgesture.core.types import AnyArray, Array, Float, UInt8

SIZE = 224  # pixels of a side
LEAST_FRAMES = 9  # fewer leave less than the two frames that are averaged at the end
CLASSES = 400
WIDTH = 1024  # channels of the last block
EPSILON = 1e-5
POOLED, LOGITS = "pooled", "logits"  # taps behind the last block

Params = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Unit:
    """A convolution without bias over cubes, batch normalisation, and a ReLU."""

    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1


@dataclasses.dataclass(frozen=True)
class MaxPool:
    """Maximum over windows of (frames, rows, columns)."""

    kernel: tuple[int, int, int]
    stride: tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Four branches side by side; `widths` as in the paper's figure, from left to right."""

    inputs: int
    widths: tuple[int, int, int, int, int, int]

    def units(self) -> dict[str, Unit]:
        """The units by their names in the weight file."""
        a, b, c, d, e, f = self.widths
        return {
            "b0": Unit(self.inputs, a),
            "b1a": Unit(self.inputs, b),
            "b1b": Unit(b, c, 3),
            "b2a": Unit(self.inputs, d),
            "b2b": Unit(d, e, 3),
            "b3b": Unit(self.inputs, f),
        }


MODULES: dict[str, Unit | MaxPool | Mixed] = {
    "Conv3d_1a_7x7": Unit(3, 64, 7, 2),
    "MaxPool3d_2a_3x3": MaxPool((1, 3, 3), (1, 2, 2)),
    "Conv3d_2b_1x1": Unit(64, 64),
    "Conv3d_2c_3x3": Unit(64, 192, 3),
    "MaxPool3d_3a_3x3": MaxPool((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": Mixed(192, (64, 96, 128, 16, 32, 32)),
    "Mixed_3c": Mixed(256, (128, 128, 192, 32, 96, 64)),
    "MaxPool3d_4a_3x3": MaxPool((3, 3, 3), (2, 2, 2)),
    "Mixed_4b": Mixed(480, (192, 96, 208, 16, 48, 64)),
    "Mixed_4c": Mixed(512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": Mixed(512, (128, 128, 256, 24, 64, 64)),
    "Mixed_4e": Mixed(512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": Mixed(528, (256, 160, 320, 32, 128, 128)),
    "MaxPool3d_5a_2x2": MaxPool((2, 2, 2), (2, 2, 2)),
    "Mixed_5b": Mixed(832, (256, 160, 320, 32, 128, 128)),
    "Mixed_5c": Mixed(832, (384, 192, 384, 48, 128, 128)),
}


def shapes() -> dict[str, Any]:
    """All parameters as shape structs, under the weight file's names of modules.

    The running statistics are among them: in a network that is not trained they are parameters
    like the others. Kernels are (frames, rows, columns, inputs, outputs).
    """

    def array(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    def unit(module: Unit) -> dict[str, Any]:
        k, c, o = module.kernel, module.inputs, module.outputs
        statistics = {name: array(o) for name in ("scale", "bias", "mean", "var")}
        return {"conv3d": {"kernel": array(k, k, k, c, o)}, "bn": statistics}

    params: dict[str, Any] = {}
    for name, module in MODULES.items():
        if isinstance(module, Unit):
            params[name] = unit(module)
        elif isinstance(module, Mixed):
            params[name] = {branch: unit(inner) for branch, inner in module.units().items()}
    head = {"kernel": array(1, 1, 1, WIDTH, CLASSES), "bias": array(CLASSES)}
    return params | {LOGITS: {"conv3d": head}}


def preprocess(frames: UInt8[AnyArray, "b t h w 3"]) -> Float[Array, "b t 224 224 3"]:
    """Clips as the network takes them, in [-1, 1].

    The shorter side is scaled to 224 pixels, the longer one in proportion, rounded up; bilinear,
    half-pixel centres, no anti-aliasing; then the centre, where it does not fall between pixels
    the half pixel towards the beginning, is cut out.

    Args:
      frames: RGB in [0, 255], in any size.

    Raises:
      ValueError: if `frames` is not uint8: another type would be in another range.
    """
    if frames.dtype != np.uint8:
        raise ValueError(f"frames are {frames.dtype}; give uint8 in [0, 255]")
    shorter = min(frames.shape[2:4])
    x = jnp.asarray(frames).astype(jnp.float32) / 255
    for axis in (2, 3):
        x = _resize_and_crop(x, axis, -(-frames.shape[axis] * SIZE // shorter))
    return (x - 0.5) * 2


def _resize_and_crop(x: Array, axis: int, size: int) -> Array:
    """The middle 224 of `size` rows or columns; those that would be cut off are not computed."""
    length = x.shape[axis]
    positions = np.arange(SIZE) + (size - SIZE) // 2
    # In float32, as PyTorch computes them.
    scale, half = np.float32(length / size), np.float32(0.5)
    centres = np.clip(scale * (positions.astype(np.float32) + half) - half, 0, length - 1)
    before = np.floor(centres).astype(np.int32)
    behind = np.minimum(before + 1, length - 1)
    share = np.expand_dims(centres - before, [a for a in range(x.ndim) if a != axis])
    near, far = (jnp.take(x, index, axis) for index in (before, behind))
    return near + (far - near) * share.astype(np.float32)


def features(
    params: Params,
    clips: Float[Array, "b t 224 224 3"],
    taps: Sequence[str],
    dtype: DTypeLike | None = None,
) -> tuple[Array, ...]:
    """The maps (b, t2, h2, w2, c) behind the modules `taps`, "pooled" (b, 1024), "logits" (b, 400).

    Nothing behind the last of them is computed. Pass `params` through `jit` as an argument: closed
    over, they would be compiled in as constants.

    Args:
      params: `weights.load("i3d", ...).params`.
      clips: from `preprocess`.
      taps: keys of `MODULES`, "pooled" or "logits", in the order wanted.
      dtype: compute type; the clips' if None. The maps have the type of `clips`.

    Raises:
      UserError: if the clips are too short.
      ValueError: no such tap, or clips of another size.
    """
    if unknown := sorted(set(taps) - {*MODULES, POOLED, LOGITS}):
        raise ValueError(f"I3D has no {', '.join(unknown)}; it has {', '.join(MODULES)}")
    if clips.shape[2:] != (SIZE, SIZE, 3):
        raise ValueError(f"clips are {clips.shape}; `preprocess` them to {SIZE} x {SIZE} RGB")
    if clips.shape[1] < LEAST_FRAMES:
        raise UserError(
            f"clips of {clips.shape[1]} frames are too short for I3D, which needs "
            f"{LEAST_FRAMES}; use longer clips"
        )
    maps: dict[str, Array] = {}
    x = clips.astype(dtype or clips.dtype)
    for name, module in MODULES.items():
        if set(taps) <= maps.keys():
            break
        if isinstance(module, Unit):
            x = _unit(params[name], x, module)
        elif isinstance(module, MaxPool):
            x = _max_pool(x, module)
        else:
            x = _mixed(params[name], x, module)
        maps[name] = x
    if not set(taps) <= maps.keys():
        maps[POOLED], maps[LOGITS] = _head(params[LOGITS]["conv3d"], x)
    return tuple(maps[name].astype(clips.dtype) for name in taps)


def logits(
    params: Params, clips: Float[Array, "b t 224 224 3"], dtype: DTypeLike | None = None
) -> Float[Array, "b 400"]:
    """The scores of the classes, before any softmax; arguments and errors of `features`."""
    return features(params, clips, (LOGITS,), dtype)[0]


def _head(params: Params, x: Array) -> tuple[Array, Array]:
    # Windows of two frames, one apart: the mean over all of them, by how often each frame is seen.
    frames = x.mean((2, 3))
    pooled = ((frames[:, :-1] + frames[:, 1:]) / 2).mean(1)
    kernel, bias = (jnp.asarray(params[k], x.dtype) for k in ("kernel", "bias"))
    return pooled, pooled @ kernel[0, 0, 0] + bias[None]


def _mixed(params: Params, x: Array, module: Mixed) -> Array:
    def unit(name: str, inputs: Array) -> Array:
        return _unit(params[name], inputs, module.units()[name])

    return jnp.concatenate(
        [
            unit("b0", x),
            unit("b1b", unit("b1a", x)),
            unit("b2b", unit("b2a", x)),
            unit("b3b", _max_pool(x, MaxPool((3, 3, 3), (1, 1, 1)))),
        ],
        -1,
    )


def _unit(params: Params, x: Array, module: Unit) -> Array:
    bn = {name: jnp.asarray(value) for name, value in params["bn"].items()}
    factor = bn["scale"] * lax.rsqrt(bn["var"] + EPSILON)
    # The factor scales the kernel instead of the larger map.
    kernel = (params["conv3d"]["kernel"] * factor[None, None, None, None]).astype(x.dtype)
    bias = (bn["bias"] - bn["mean"] * factor).astype(x.dtype)
    y = _convolve(x, kernel, module.stride)
    return jax.nn.relu(y + bias[None, None, None, None])


def _convolve(x: Array, kernel: Array, stride: int) -> Array:
    if kernel.shape[0] == 1 and stride == 1:
        return x @ kernel[0, 0, 0]
    if kernel.shape[0] == 3 and stride == 1:
        return _convolve_pairs(x, kernel)
    seen = jnp.concatenate(_shifted(x, 1, kernel.shape[0], stride), -1)
    rows, columns, outputs = kernel.shape[1], kernel.shape[2], kernel.shape[-1]
    beside = jnp.moveaxis(kernel, 0, 2).reshape(rows, columns, seen.shape[-1], outputs)
    return _convolve_images(seen, beside, stride)


def _convolve_pairs(x: Array, kernel: Array) -> Array:
    frames = x.shape[1]
    # An odd number of frames is made even; what the added one gives is dropped.
    padded = jnp.pad(x, ((0, 0), (1, 1 + frames % 2), (0, 0), (0, 0), (0, 0)))
    d0, d1, d2, d3 = (padded[:, i : i + frames : 2] for i in range(4))
    g0, g1, g2 = kernel
    m0 = _convolve_images(d0 - d2, g0)
    m1 = _convolve_images(d1 + d2, (g0 + g1 + g2) / 2)
    m2 = _convolve_images(d2 - d1, (g0 - g1 + g2) / 2)
    m3 = _convolve_images(d1 - d3, g2)
    pairs = jnp.stack([m0 + m1 + m2, m1 - m2 - m3], 2)
    return pairs.reshape(pairs.shape[0], -1, *pairs.shape[3:])[:, :frames]


def _convolve_images(x: Array, kernel: Array, stride: int = 1) -> Array:
    b, t, h, w, c = x.shape
    y = lax.conv_general_dilated(
        x.reshape(b * t, h, w, c),
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y.reshape(b, t, *y.shape[1:])


def _shifted(x: Array, axis: int, kernel: int, stride: int) -> list[Array]:
    """The `kernel` entries along an axis that each output sees, zeros beyond the ends.

    With TensorFlow's SAME, of an odd number of zeros the greater half lies behind.
    """
    outputs = -(-x.shape[axis] // stride)
    span = (outputs - 1) * stride + 1
    total = max(span - 1 + kernel - x.shape[axis], 0)
    pads = [(0, 0)] * x.ndim
    pads[axis] = (total // 2, total - total // 2)
    padded = jnp.pad(x, pads)
    return [lax.slice_in_dim(padded, i, i + span, stride, axis) for i in range(kernel)]


def _max_pool(x: Array, module: MaxPool) -> Array:
    """Axis by axis, which is the same; zeros are never above what a ReLU leaves."""
    for axis, (kernel, stride) in enumerate(zip(module.kernel, module.stride, strict=True), 1):
        x = functools.reduce(jnp.maximum, _shifted(x, axis, kernel, stride))
    return x
