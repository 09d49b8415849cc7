"""Which sides run: JAX always, PyTorch where it is installed and sees the same device."""

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxgesture.benchmark.compare import Side
from jaxgesture.benchmark.jax_side import JaxSide
from jaxgesture.benchmark.subject import Subject

WAYS = ("eager", "compiled")
LAYOUTS = ("channels_first", "channels_last")


@dataclasses.dataclass(frozen=True)
class Sides:
    """Who takes part.

    Attributes:
      running: the sides, JAX first.
      names: of the columns: of the sides that run, and of one that cannot.
      notes: why a side is missing and what to do about it, a line each.
      torch_device: what PyTorch runs on; empty without it.
    """

    running: tuple[Side, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    torch_device: str = ""


def make_sides(subject: Subject, ways: Sequence[str], layout: str = LAYOUTS[0]) -> Sides:
    """Finds the sides of the base model that can run.

    Args:
      subject: what they measure.
      ways: how PyTorch runs, of `WAYS`; empty for JAX alone.
      layout: how PyTorch's images lie in memory, of `LAYOUTS`.
    """

    def make(device: Any, compiled: bool) -> Side:
        from jaxgesture.benchmark import torch_side

        return torch_side.TorchSide(subject, device, compiled, layout)

    found = sides_beside(JaxSide(subject), ways, make)
    if not found.torch_device:
        return found
    note = f"PyTorch's images and kernels are {layout} in memory."
    return dataclasses.replace(found, notes=(*found.notes, note))


def sides_beside(ours: Side, ways: Sequence[str], make: Callable[[Any, bool], Side]) -> Sides:
    """The JAX side and those of PyTorch that can run beside it.

    Args:
      ours: the JAX side.
      ways: how PyTorch runs, of `WAYS`; empty for JAX alone.
      make: (PyTorch's device, whether through `torch.compile`) -> that side.
    """
    if not ways:
        return Sides((ours,), (ours.name,))
    if importlib.util.find_spec("torch") is None:
        note = "PyTorch is not installed, so JAX runs alone: pip install torch"
        return Sides((ours,), (ours.name,), (note,))
    from jaxgesture.benchmark import torch_side

    platform = jax.devices()[0].platform
    device = torch_side.device_beside(platform)
    if device is None:
        note = (
            f"this PyTorch cannot run where JAX does ({platform}), so JAX runs alone: install a "
            "PyTorch for that device, or compare on the CPU with JAX_PLATFORMS=cpu"
        )
        return Sides((ours,), (ours.name,), (note,))
    running: list[Side] = [ours]
    names, notes = [ours.name], []
    for way in ways:
        compiled = way == "compiled"
        names.append(torch_side.COMPILED if compiled else torch_side.EAGER)
        reason = torch_side.prepare_compiling(device) if compiled else None
        if reason is None:
            running.append(make(device, compiled))
        else:
            notes.append(
                f"torch.compile does not work here ({reason}): install a C++ compiler, such as g++"
            )
    return Sides(tuple(running), tuple(names), tuple(notes), torch_side.device_name(device))
