"""What a function computes and keeps, counted in its jaxpr: no compiler, no device.

Operations are those of convolutions and matrix products, 2 x outputs x inputs of one output, those
of a loop as often as it turns. Memory is the most bytes of values that are alive at one time if the
equations run in their order, each value written down: a compiler fuses many of them away and orders
others better, so it is an estimate.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jcore

from jaxgesture.core.types import PyTree


@dataclasses.dataclass(frozen=True)
class Counted:
    """What is counted of a function.

    Attributes:
      flops: of convolutions and matrix products.
      traffic: bytes that these read and write.
      memory: bytes alive at most at one time, without arguments and results.
    """

    flops: float
    traffic: float
    memory: int


def count(function: Callable[..., Any], *shapes: PyTree) -> Counted:
    """Counts a function of arrays.

    Args:
      function: any that JAX can trace.
      shapes: of its arguments.
    """
    jaxpr = jax.make_jaxpr(function)(*shapes).jaxpr
    flops, traffic = _work(jaxpr)
    return Counted(flops, traffic, _alive(jaxpr, without=jaxpr.outvars))


def _inner(equation: Any) -> Iterator[tuple[Any, int]]:
    """The jaxprs that an equation runs, and how often."""
    turns = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
    for value in equation.params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, jcore.ClosedJaxpr):
                yield one.jaxpr, turns
            elif isinstance(one, jcore.Jaxpr):
                yield one, turns


def _work(jaxpr: Any) -> tuple[float, float]:
    flops = traffic = 0.0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name in ("dot_general", "conv_general_dilated"):
            flops += _product(equation) if name == "dot_general" else _convolution(equation)
            traffic += sum(map(_bytes, (*equation.invars, *equation.outvars)))
            continue
        parts = [(turns, *_work(inner)) for inner, turns in _inner(equation)]
        if name == "cond":
            parts = [max(parts)]  # the costliest branch
        flops += sum(turns * f for turns, f, _ in parts)
        traffic += sum(turns * t for turns, _, t in parts)
    return flops, traffic


def _product(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2.0 * _size(equation.outvars[0]) * math.prod(left[axis] for axis in contracted)


def _convolution(equation: Any) -> float:
    numbers, kernel = equation.params["dimension_numbers"], equation.invars[1].aval.shape
    # The first axis of rhs_spec is that of the outputs.
    inputs = math.prod(kernel[axis] for axis in numbers.rhs_spec[1:])
    # Zeros between the inputs are no work.
    holes = math.prod(equation.params["lhs_dilation"]) * equation.params["batch_group_count"]
    return 2.0 * _size(equation.outvars[0]) * inputs / holes


def _size(variable: Any) -> int:
    return math.prod(variable.aval.shape)


def _bytes(variable: Any) -> int:
    aval = variable.aval
    if not hasattr(aval, "dtype") or jnp.issubdtype(aval.dtype, jax.dtypes.prng_key):
        return 0
    return math.prod(aval.shape) * np.dtype(aval.dtype).itemsize


def _alive(jaxpr: Any, without: Sequence[Any] = ()) -> int:
    """The most bytes alive at one time, without the inputs of the jaxpr and `without`."""
    last: dict[Any, int] = {}
    for place, equation in enumerate(jaxpr.eqns):
        last |= dict.fromkeys(_variables(equation.invars), place)
    last |= dict.fromkeys(_variables(jaxpr.outvars), len(jaxpr.eqns))
    own = {v for equation in jaxpr.eqns for v in equation.outvars} - set(_variables(without))
    now = most = 0
    for place, equation in enumerate(jaxpr.eqns):
        inside = max((_alive(inner) for inner, _ in _inner(equation)), default=0)
        made = [v for v in equation.outvars if v in own]
        # What an equation gives is alive inside it already.
        most = max(most, now + max(sum(map(_bytes, made)), inside))
        ended = [v for v in set(_variables(equation.invars)) & own if last[v] == place]
        kept = [v for v in made if last.get(v, -1) > place]
        now += sum(map(_bytes, kept)) - sum(map(_bytes, ended))
    return most


def _variables(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if not isinstance(value, jcore.Literal)]
