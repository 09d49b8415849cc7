"""One table, two directions: PyTorch state dict <-> nested variables.

A table is made from our side: every leaf of the variables has one name in the state dict and one
change of layout. What only the state dict has is either named in `ignored`, with the reason, or an
error. So each source key is used once, each target leaf is filled once, and nothing is guessed.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgesture.core import tree
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import NumpyBatch, PyTree

SHOWN = 8  # names of a kind of problem that are written out; the others are counted

# Our leaf -> PyTorch's. A kernel's input and output are its last axes, PyTorch's its first.
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
    "count": "num_batches_tracked",
}


@dataclasses.dataclass(frozen=True)
class Rule:
    """A module of ours and its name there.

    Attributes:
      ours: regular expression of the module's path below its collection, parts joined by "/".
      theirs: replacement, parts joined by ".".
    """

    ours: str
    theirs: str


@dataclasses.dataclass(frozen=True)
class Entry:
    """One array.

    Attributes:
      leaf: its name in the variables, "collection/module/.../leaf".
      name: its name in the state dict.
      shape: its shape there.
      from_torch: the axes that bring PyTorch's layout to ours.
      dtype: its type on both sides.
    """

    leaf: str
    name: str
    shape: tuple[int, ...]
    from_torch: tuple[int, ...]
    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class Table:
    """All arrays of a network.

    Attributes:
      network: what the network is called in messages.
      remedy: what to give instead of a file that does not fit, for messages.
      entries: one for each leaf of the variables.
      ignored: names (regular expressions) that only the state dict has -> why they are not needed.
    """

    network: str
    remedy: str
    entries: tuple[Entry, ...]
    ignored: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        """Refuses a table in which two leaves share a name."""
        names = [entry.name for entry in self.entries]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"used twice: {', '.join(sorted(twice))}")


def make_entries(template: PyTree, rules: Sequence[Rule]) -> tuple[Entry, ...]:
    """Returns the entries of all leaves of `template`.

    Args:
      template: {collection: nested dictionaries} of arrays or shape structs.
      rules: the first that matches the start of a leaf's modules renames it.

    Raises:
      ValueError: if no rule fits a leaf.
    """
    return tuple(_entry(name, leaf, rules) for name, leaf in tree.flatten(template).items())


def _entry(leaf: str, value: Any, rules: Sequence[Rule]) -> Entry:
    _, *modules, last = leaf.split("/")
    path = "/".join(modules)
    for rule in rules:
        if found := re.match(f"(?:{rule.ours})(?=/|$)", path):
            name = found.expand(rule.theirs) + path[found.end() :].replace("/", ".")
            break
    else:
        raise ValueError(f"no rule for {leaf}")
    shape = tuple(value.shape)
    axes = tuple(range(len(shape)))
    if last == "kernel":
        # Ours: space, input, output. There: output, input, space.
        shape = (shape[-1], shape[-2], *shape[:-2])
        axes = (*axes[2:], 1, 0)
    return Entry(leaf, f"{name}.{LEAVES[last]}", shape, axes, np.dtype(value.dtype))


def to_variables(state_dict: Mapping[str, np.ndarray], table: Table, source: str) -> PyTree:
    """Fills the variables from a state dict; every array is copied, its values unchanged.

    Args:
      state_dict: arrays by name.
      table: of the network.
      source: where the state dict comes from, for the message.

    Raises:
      UserError: names that are missing, not known, of another shape or type, or not finite, all
        of them in one message.
    """
    wanted = {entry.name for entry in table.entries}
    unknown = [
        name
        for name in state_dict
        if name not in wanted and not any(re.search(p, name) for p in table.ignored)
    ]
    missing, shapes, types, infinite = [], [], [], []
    variables: dict[str, np.ndarray] = {}
    for entry in table.entries:
        if entry.name not in state_dict:
            missing.append(entry.name)
            continue
        array = np.asarray(state_dict[entry.name])
        if array.shape != entry.shape:
            shapes.append(f"{entry.name} is {array.shape}, not {entry.shape}")
        elif array.dtype != entry.dtype:
            types.append(f"{entry.name} is {array.dtype}, not {entry.dtype}")
        elif not np.isfinite(array).all():
            infinite.append(entry.name)
        else:
            variables[entry.leaf] = np.array(array.transpose(entry.from_torch), order="C")
    problems = {
        "missing": missing, "not known": unknown, "of another shape": shapes,
        "of another type": types, "not finite": infinite,
    }  # fmt: skip
    if any(problems.values()):
        said = "; ".join(f"{kind}: {_listed(names)}" for kind, names in problems.items() if names)
        remedy = table.remedy
        if not (missing or unknown or shapes):
            remedy = (
                "the training that made them diverged, or the file is damaged"
                if infinite
                else f"save them as {' or '.join(sorted({str(e.dtype) for e in table.entries}))}"
            )
        raise UserError(f"{source} does not hold the weights of {table.network} ({said}); {remedy}")
    return tree.unflatten(variables)


def to_state_dict(variables: PyTree, table: Table) -> NumpyBatch:
    """The inverse of `to_variables`, less what it ignored.

    Raises:
      ValueError: if a leaf is missing, unknown, or of another shape.
    """
    leaves = tree.flatten(variables)
    wanted = {entry.leaf: entry for entry in table.entries}
    if wrong := sorted(wanted.keys() ^ leaves.keys()):
        raise ValueError(f"these are not the variables of {table.network}: {_listed(wrong)}")
    arrays = {}
    for leaf, entry in wanted.items():
        array = np.asarray(leaves[leaf]).transpose(np.argsort(entry.from_torch))
        if array.shape != entry.shape:
            raise ValueError(f"{leaf} is {array.shape} in PyTorch's layout, not {entry.shape}")
        arrays[entry.name] = np.array(array, order="C")
    return arrays


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)}: {', '.join(names[:SHOWN])}{more}"
