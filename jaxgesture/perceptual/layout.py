"""Feature networks as torchvision lists them: convolutions, ReLUs and max-pools in one row.

Module i of a layout is torchvision's `features.i`. Only convolutions have parameters,
`{"features_i": {"kernel": HWIO, "bias": O}}`; these are frozen: no function here returns new ones.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from jaxgesture.core.errors import UserError
from jaxgesture.core.types import AnyArray, Array, Float
from jaxgesture.layers.conv import conv2d

FeatureParams = Mapping[str, Mapping[str, AnyArray]]


@dataclasses.dataclass(frozen=True)
class Conv:
    """A square convolution with bias and zero padding."""

    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1


@dataclasses.dataclass(frozen=True)
class Relu:
    """The activation max(x, 0)."""


@dataclasses.dataclass(frozen=True)
class MaxPool:
    """Maximum over square windows that lie wholly inside the map."""

    kernel: int = 2
    stride: int = 2


@dataclasses.dataclass(frozen=True)
class Layout:
    """One network.

    Attributes:
      name: for messages.
      modules: in torchvision's order.
    """

    name: str
    modules: tuple[Conv | Relu | MaxPool, ...]

    def convs(self) -> dict[int, Conv]:
        """The convolutions by their torchvision index."""
        return {i: m for i, m in enumerate(self.modules) if isinstance(m, Conv)}

    def least_size(self, last: int) -> int:
        """The smallest side in pixels of which module `last` leaves at least one cell."""
        size = 1
        for module in reversed(self.modules[: last + 1]):
            if not isinstance(module, Relu):
                padding = module.padding if isinstance(module, Conv) else 0
                size = max((size - 1) * module.stride + module.kernel - 2 * padding, 1)
        return size


def parameter_name(index: int) -> str:
    """The name under which the parameters of torchvision's `features.index` are kept."""
    return f"features_{index}"


def features(
    layout: Layout,
    params: FeatureParams,
    image: Float[Array, "b h w 3"],
    taps: Sequence[int],
    dtype: DTypeLike | None = None,
) -> tuple[Float[Array, "b h2 w2 c"], ...]:
    """The maps behind the modules `taps`; nothing behind the last of them is computed.

    Pass `params` through `jit` as an argument: closed over, they would be compiled in as constants.

    Args:
      layout: of the network.
      params: of its convolutions, at least of those up to the last tap.
      image: in whatever range the network takes.
      taps: torchvision indices, in the order wanted.
      dtype: compute type; the image's if None.

    Returns:
      one map a tap, in the type of `image` whatever the compute type.

    Raises:
      UserError: if the image is too small for the last tap.
      ValueError: no such tap, or the parameters of another network.
    """
    last = max(taps)
    if min(taps) < 0 or last >= len(layout.modules):
        raise ValueError(
            f"taps {tuple(taps)}: {layout.name} has modules 0 to {len(layout.modules) - 1}"
        )
    _check_names(layout, params, last)
    least = layout.least_size(last)
    if min(image.shape[1:3]) < least:
        raise UserError(
            f"an image of {image.shape[1]} x {image.shape[2]} pixels is too small for "
            f"{layout.name} up to features.{last}, which needs {least} x {least}; use larger images"
        )
    image = jnp.asarray(image)
    x = image.astype(dtype or image.dtype)
    maps = {}
    for index, module in enumerate(layout.modules[: last + 1]):
        # Traces and plans tell the networks apart by this name.
        with jax.named_scope(layout.name):
            x = _through(module, x, params.get(parameter_name(index), {}))
        if index in taps:
            maps[index] = x.astype(image.dtype)
    return tuple(maps[index] for index in taps)


def _through(module: Conv | Relu | MaxPool, x: Array, weights: Mapping[str, AnyArray]) -> Array:
    if isinstance(module, Relu):
        return jax.nn.relu(x)
    if isinstance(module, MaxPool):
        return _max_pool(x, module)
    kernel, bias = (jnp.asarray(weights[k], x.dtype) for k in ("kernel", "bias"))
    x = conv2d(x, kernel, stride=module.stride, padding=module.padding)
    return x + bias[None, None, None]


def _check_names(layout: Layout, params: FeatureParams, last: int) -> None:
    # VGG-16 and VGG-19 agree for the first convolutions; taken for each other they would run.
    names = {parameter_name(i): i for i in layout.convs()}
    unknown = sorted(params.keys() - names.keys())
    missing = [name for name, i in names.items() if i <= last and name not in params]
    if unknown or missing:
        raise ValueError(
            f"these are not the parameters of {layout.name}: not known {unknown}, missing {missing}"
        )


def _max_pool(x: Array, pool: MaxPool) -> Array:
    window, strides = (1, pool.kernel, pool.kernel, 1), (1, pool.stride, pool.stride, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, "VALID")
