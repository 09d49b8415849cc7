"""PyTorch checkpoints that pickle more than tensors, read as data.

PyTorch's restricted reader refuses a file with an object of a class that it does not know. Here the
pickle is read as data: every class and function that it names becomes an empty class of this
module, so that nothing of the file's choosing is imported or called, and only the weights that are
wanted are read from the file. That needs no PyTorch.

Both of PyTorch's formats are read: the zip archive, and the one before version 1.6, which is a row
of pickles with the numbers of the tensors after them.
"""

import pathlib
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from jaxgesture.core import weight_files
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import NumpyBatch

DTYPES = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32,
    "ShortStorage": np.int16, "CharStorage": np.int8, "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}  # fmt: skip
_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# The magic number as the first pickle of such a file has it.
_LEGACY_HEAD = pickle.dumps(_LEGACY_MAGIC, protocol=2)


def read(path: pathlib.Path, wrappers: Sequence[str]) -> NumpyBatch:
    """The weights in a file, by name.

    Args:
      path: a checkpoint, whatever else it holds, or any weight file.
      wrappers: names under which the weights may stand among other things; the first is preferred.

    Raises:
      UserError: see `weight_files.read`; nothing in the file is run.
    """
    path = path.expanduser()
    if not path.is_file() or path.suffix.lower() not in weight_files.TORCH_SUFFIXES:
        return weight_files.read(path)
    try:
        arrays = _read(path, wrappers)
    except Exception as error:  # whatever the bytes of a damaged file lead to is one error
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} is damaged or no PyTorch file ({first[:160]}); get it again from its source"
        ) from error
    return weight_files.read(path) if arrays is None else weight_files.plain(arrays, str(path))


def chosen(checkpoint: Any, wrappers: Sequence[str]) -> Any:
    """What stands under the first of `wrappers` that is there; else the checkpoint itself."""
    for name in (*wrappers, weight_files.WRAPPER):
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(name), Mapping):
            return checkpoint[name]
    return checkpoint


def _read(path: pathlib.Path, wrappers: Sequence[str]) -> Any:
    """None for what the general reader has the right words for."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            folders = [n.removesuffix("data.pkl") for n in names if n.endswith("/data.pkl")]
            # TorchScript, or no PyTorch file at all.
            if len(folders) != 1 or f"{folders[0]}constants.pkl" in names:
                return None
            return _of_archive(archive, folders[0], wrappers)
    with path.open("rb") as stream:
        if stream.read(len(_LEGACY_HEAD)) != _LEGACY_HEAD:
            return None
        return _of_legacy(stream, path.stat().st_size, wrappers)


class _Storage(NamedTuple):
    """Numbers beside the pickle: PyTorch's name of their kind, their key, their count."""

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

    def persistent_load(self, pid: Any) -> Any:
        """PyTorch's reference to the numbers of a tensor, which stand beside the pickle."""
        if pid[0] == "module":  # the source text of a class, in the older format
            return _Object
        word, kind, key, _, count, *view = pid
        if word != "storage" or any(part is not None for part in view):
            raise ValueError(f"unknown reference {str(word)[:40]}")
        return _Storage(kind.name.rsplit(".", 1)[-1], str(key), int(count))


def _of_archive(archive: zipfile.ZipFile, folder: str, wrappers: Sequence[str]) -> Any:
    """The weights of a checkpoint with arrays in place of its tensors; the rest stays as it is."""
    if f"{folder}byteorder" in archive.namelist():
        order = archive.read(f"{folder}byteorder").decode()
        if order != "little":
            raise ValueError(f"its byte order is {order[:20]}")
    with archive.open(f"{folder}data.pkl") as stream:
        found = chosen(_Inert(stream, encoding="utf-8").load(), wrappers)
    return _with_arrays(found, lambda storage: archive.read(f"{folder}data/{storage.key}"))


def _of_legacy(stream: BinaryIO, size: int, wrappers: Sequence[str]) -> Any:
    def load() -> Any:
        return _Inert(stream, encoding="utf-8").load()

    if load() != _LEGACY_PROTOCOL:
        raise ValueError("a version of the older format that is not known")
    system = load()
    if not system.get("little_endian", True):
        raise ValueError("its byte order is big")
    kinds: dict[str, _Storage] = {}

    class Noting(_Inert):
        def persistent_load(self, pid: Any) -> Any:
            found = super().persistent_load(pid)
            if isinstance(found, _Storage):
                kinds[found.key] = found
            return found

    checkpoint = Noting(stream, encoding="utf-8").load()
    places: dict[str, int] = {}
    for key in load():
        storage = kinds[str(key)]
        (count,) = np.frombuffer(stream.read(8), np.int64)
        places[storage.key] = stream.tell()
        width = np.dtype(DTYPES[storage.kind]).itemsize
        if count != storage.count or stream.tell() + count * width > size:
            raise ValueError("a tensor that is larger than its numbers")
        stream.seek(int(count) * width, 1)

    def numbers(storage: _Storage) -> bytes:
        stream.seek(places[storage.key])
        return stream.read(storage.count * np.dtype(DTYPES[storage.kind]).itemsize)

    return _with_arrays(chosen(checkpoint, wrappers), numbers)


def _with_arrays(found: Any, numbers: Callable[[_Storage], bytes]) -> Any:
    if not isinstance(found, Mapping):
        return found
    return {name: _tensor(value, numbers) for name, value in found.items()}


def _tensor(value: Any, read_numbers: Callable[[_Storage], bytes]) -> Any:
    kind = getattr(value, "name", "") if isinstance(value, _Object) else ""
    if kind == "torch._utils._rebuild_parameter":
        return _tensor(value.args[0], read_numbers)
    if kind != "torch._utils._rebuild_tensor_v2" or value.args[0].kind not in DTYPES:
        return value
    storage, offset, shape, strides, *_ = value.args
    numbers = np.frombuffer(read_numbers(storage), DTYPES[storage.kind])
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
