"""The motion denoiser's names in S2G-MDDiffusion's PyTorch weights (CVPR 2024), and its files.

A checkpoint is a pickle of {"ema_state_dict": ..., "model_state_dict": ..., "normalizer": object,
...}. The object is of a class that is not ours, so that PyTorch's restricted reader refuses the
file. Here its pickle is read as data: every class and function that it names becomes an empty class
of this module, so that nothing of the file's choosing is imported or called, and only the weights
that are wanted are read from the archive. That needs no PyTorch.

Names of ours beside the published ones: `history_projection`, `history_embed` and
`null_history_embed` of a model with history, and `statistics.*`, the vectors of the normalisation,
where they change anything. `*.rotary.freqs` are constants; what a file has is checked and kept.
"""

import pathlib
import pickle
import re
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from jaxgesture.core import mapping, tree, weight_files
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import NumpyBatch, PyTree

AVERAGES = ("ema_state_dict", "model_state_dict")  # the average first
STATISTICS = "statistics."
CONSTANTS = "constants"  # in place of a collection
FREQUENCIES = "rotary/freqs"
# PyTorch's power of float32 numbers differs between versions in the last bit.
CONSTANTS_TOLERANCE = 1e-6
LEAVES = {**mapping.LEAVES, "in_proj_kernel": "in_proj_weight"}  # others keep their name
DTYPES = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32,
    "ShortStorage": np.int16, "CharStorage": np.int8, "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}  # fmt: skip


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
        remedy='name the sizes of these weights: preset="s2g" for the published S2G-MDDiffusion, '
        '"paper", or a folder with a model of the same sizes',
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
    return weight_files.plain(_chosen(checkpoint), source)


def read(path: pathlib.Path) -> NumpyBatch:
    """The weights in a file, by name.

    Args:
      path: a checkpoint of S2G-MDDiffusion, whatever else it holds, or any weight file.

    Raises:
      UserError: see `weight_files.read`; nothing in the file is run.
    """
    path = path.expanduser()
    suffixes = weight_files.TORCH_SUFFIXES
    if not path.is_file() or path.suffix.lower() not in suffixes or not zipfile.is_zipfile(path):
        return weight_files.read(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            folders = [n.removesuffix("data.pkl") for n in names if n.endswith("/data.pkl")]
            # TorchScript, or no PyTorch file at all: the general reader knows what to say.
            other = len(folders) != 1 or f"{folders[0]}constants.pkl" in names
            arrays = None if other else _weights(archive, folders[0])
    except Exception as error:  # whatever the bytes of a damaged file lead to is one error
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} is damaged or no PyTorch file ({first[:160]}); get it again from its source"
        ) from error
    return weight_files.read(path) if arrays is None else weight_files.plain(arrays, str(path))


def _chosen(checkpoint: Any) -> Any:
    for name in (*AVERAGES, weight_files.WRAPPER):
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(name), Mapping):
            return checkpoint[name]
    return checkpoint


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


class _Storage(NamedTuple):
    """Numbers in the archive: PyTorch's name of their kind, their file, their count."""

    kind: str
    key: str
    count: int


class _Object:
    """Stands for an instance of any class of the file: keeps what it would have been made of."""

    name = ""
    args: tuple[Any, ...]

    def __new__(cls, *args: Any, **kwargs: Any):
        self = super().__new__(cls)
        self.args = args
        return self

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> "_Object":
        return _Object(*args)

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """Items of a list; dropped."""

    extend = add = append


# Python's own unpickler in place of the C one, which reserves memory for any number in the file.
class _Inert(pickle._Unpickler):
    """Reads a pickle without importing or calling anything that it names."""

    def find_class(self, module: str, name: str) -> Any:
        """A new empty class for every class and function; only a dictionary stays one."""
        if (module, name) == ("collections", "OrderedDict"):
            return type(name, (dict,), {})
        return type(name, (_Object,), {"name": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> _Storage:
        """PyTorch's reference to the numbers of a tensor, which stand beside the pickle."""
        word, kind, key, _, count = pid
        if word != "storage":
            raise ValueError(f"unknown reference {str(word)[:40]}")
        return _Storage(kind.name.rsplit(".", 1)[-1], str(key), int(count))


def _weights(archive: zipfile.ZipFile, folder: str) -> Any:
    """The weights of a checkpoint with arrays in place of its tensors; the rest stays as it is."""
    if f"{folder}byteorder" in archive.namelist():
        order = archive.read(f"{folder}byteorder").decode()
        if order != "little":
            raise ValueError(f"its byte order is {order[:20]}")
    with archive.open(f"{folder}data.pkl") as stream:
        chosen = _chosen(_Inert(stream, encoding="utf-8").load())
    if not isinstance(chosen, Mapping):
        return chosen
    return {name: _tensor(value, archive, folder) for name, value in chosen.items()}


def _tensor(value: Any, archive: zipfile.ZipFile, folder: str) -> Any:
    kind = getattr(value, "name", "") if isinstance(value, _Object) else ""
    if kind == "torch._utils._rebuild_parameter":
        return _tensor(value.args[0], archive, folder)
    if kind != "torch._utils._rebuild_tensor_v2" or value.args[0].kind not in DTYPES:
        return value
    storage, offset, shape, strides, *_ = value.args
    numbers = np.frombuffer(archive.read(f"{folder}data/{storage.key}"), DTYPES[storage.kind])
    if min((offset, *shape, *strides)) < 0:
        raise ValueError("a tensor of negative sizes")
    if 0 in shape:
        return np.zeros(shape, numbers.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    count = int(np.prod(shape, dtype=object))
    if last >= len(numbers) or count > len(numbers) or len(numbers) != storage.count:
        raise ValueError("a tensor that is larger than its numbers")
    steps = [s * numbers.itemsize for s in strides]
    return np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps).copy()
