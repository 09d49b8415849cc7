"""The motion denoiser's names in S2G-MDDiffusion's PyTorch weights (CVPR 2024), and its files.

A checkpoint is a pickle of {"ema_state_dict": ..., "model_state_dict": ..., "normalizer": object,
...}. The object is of a class that is not ours; `core.inert` reads such files as data.

Names of ours beside the published ones: `history_projection`, `history_embed` and
`null_history_embed` of a model with history, and `statistics.*`, the vectors of the normalisation,
where they change anything. `*.rotary.freqs` are constants; what a file has is checked and kept.
"""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgesture.core import inert, mapping, tree, weight_files
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import NumpyBatch, PyTree

AVERAGES = ("ema_state_dict", "model_state_dict")  # the average first
STATISTICS = "statistics."
CONSTANTS = "constants"  # in place of a collection
FREQUENCIES = "rotary/freqs"
# PyTorch's power of float32 numbers differs between versions in the last bit.
CONSTANTS_TOLERANCE = 1e-6
LEAVES = {**mapping.LEAVES, "in_proj_kernel": "in_proj_weight"}  # others keep their name


def table(template: PyTree, *, statistics: bool) -> mapping.Table:
    """The table of a denoiser of any sizes.

    Args:
      template: {"params": ..., "stats": ...}, as arrays or shape structs.
      statistics: whether the state dict has the normalisation's vectors.
    """
    entries = [_entry(*item) for item in tree.flatten({"params": template["params"]}).items()]
    for name, value in template["stats"].items() if statistics else ():
        entries.append(_plain_entry(f"stats/{name}", STATISTICS + name, value))
    entries += [
        _entry(f"{CONSTANTS}/{leaf}", value) for leaf, value in _frequencies(entries).items()
    ]
    return mapping.Table(
        network="the motion model",
        remedy="give a whole file of the motion model; if its sizes are others, name them: "
        "--preset=s2g (published S2G-MDDiffusion), paper, or a folder with a model of the same "
        'sizes; in Python preset="s2g", "paper" or a MotionConfig',
        entries=tuple(entries),
    )


def from_torch(state_dict: Mapping[str, np.ndarray], template: PyTree, source: str) -> PyTree:
    """The variables of a motion model from its weights in PyTorch.

    Args:
      state_dict: arrays by name, see `state_dict_of`.
      template: {"params": ..., "stats": ...}: the variables' shapes and types.
      source: where the state dict comes from, for messages.

    Returns:
      {"params", "constants"}, and "stats" where the state dict has them.

    Raises:
      UserError: see `mapping.to_variables`; or the rotary frequencies are not the denoiser's.
    """
    statistics = any(name.startswith(STATISTICS) for name in state_dict)
    fitting = table(template, statistics=statistics)
    variables = mapping.to_variables(state_dict, fitting, source)
    copies = tree.flatten(variables.pop(CONSTANTS))
    right = _frequencies(fitting.entries)[FREQUENCIES]
    first = copies[FREQUENCIES]
    wrong = [
        _entry(f"{CONSTANTS}/{name}", values).name
        for name, values in copies.items()
        if not (np.array_equal(values, first) and _near(values, right))
    ]
    if wrong:
        raise UserError(
            f"{source} holds other rotary frequencies than the motion model computes with "
            f"({', '.join(wrong[: mapping.SHOWN])}); it belongs to another network"
        )
    return {**variables, CONSTANTS: tree.unflatten({FREQUENCIES: first})}


def to_torch(variables: PyTree) -> NumpyBatch:
    """The weights by their names in PyTorch, for `load_state_dict(strict=True)` of the twin.

    Args:
      variables: {"params", "stats"} of a motion model, and "constants" if it came from PyTorch.
        Statistics that leave everything as it is are left out; others follow as "statistics.*".
    """
    stats = {name: np.asarray(value) for name, value in variables["stats"].items()}
    identity = all(
        (value == (0 if name.endswith("_mean") else 1)).all() for name, value in stats.items()
    )
    kept = {"params": variables["params"], **({} if identity else {"stats": stats})}
    fitting = table({"params": variables["params"], "stats": stats}, statistics=not identity)
    constants = _frequencies(fitting.entries)
    if CONSTANTS in variables:
        own = tree.flatten(variables[CONSTANTS])[FREQUENCIES]
        constants = dict.fromkeys(constants, own)
    return mapping.to_state_dict({**kept, CONSTANTS: tree.unflatten(constants)}, fitting)


def state_dict_of(checkpoint: Any, source: str) -> NumpyBatch:
    """The weights of a checkpoint as arrays, the average of training where there is one.

    Args:
      checkpoint: {name: array or tensor}, with or without "module." in front of every name; or
        that under "ema_state_dict", "model_state_dict" or "state_dict" beside other things.
      source: where it comes from, for messages.

    Raises:
      UserError: if it is no such thing.
    """
    return weight_files.plain(inert.chosen(checkpoint, AVERAGES), source)


def read(path: pathlib.Path) -> NumpyBatch:
    """The weights in a file, by name.

    Args:
      path: a checkpoint of S2G-MDDiffusion, whatever else it holds, or any weight file.

    Raises:
      UserError: see `weight_files.read`; nothing in the file is run.
    """
    return inert.read(path, AVERAGES)


def _entry(leaf: str, value: Any) -> mapping.Entry:
    _, *modules, last = leaf.split("/")
    # A number at the end of a module's name is its place in a list: stack_0 is stack.0.
    parts = [re.sub(r"_(\d+)$", r".\1", module) for module in modules]
    name = ".".join((*parts, LEAVES.get(last, last)))
    if last.endswith("kernel"):
        return mapping.Entry(leaf, name, tuple(value.shape)[::-1], (1, 0), np.dtype(value.dtype))
    return _plain_entry(leaf, name, value)


def _plain_entry(leaf: str, name: str, value: Any) -> mapping.Entry:
    shape = tuple(value.shape)
    return mapping.Entry(leaf, name, shape, tuple(range(len(shape))), np.dtype(value.dtype))


def _frequencies(entries: Any) -> NumpyBatch:
    """10000^(-2i / width) by leaf, one for the network and one for every layer."""
    layers = {e.leaf: e for e in entries if e.leaf.endswith("/self_attn/in_proj_kernel")}
    entry = next(iter(layers.values()))
    width = entry.shape[1]
    exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    # Rounded in between, as PyTorch does.
    powers = (10000.0 ** exponents.astype(np.float64)).astype(np.float32)
    values = (np.float32(1) / powers).astype(entry.dtype)
    places = [n.split("/", 1)[1].removesuffix("self_attn/in_proj_kernel") for n in layers]
    return {f"{place}{FREQUENCIES}": values for place in ("", *places)}


def _near(values: np.ndarray, right: np.ndarray) -> bool:
    return np.allclose(values, right, rtol=CONSTANTS_TOLERANCE, atol=0)
