"""Weight files of other programs, as {name: array}, read without executing what they hold.

A PyTorch file is a pickle, which may run any code when it is opened as such; here it is opened by
PyTorch's own restricted reader (`weights_only=True`), NumPy archives without pickles, and
safetensors files, which hold none.
"""

import contextlib
import os
import pathlib
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from jaxgesture.core.errors import UserError
from jaxgesture.core.types import NumpyBatch

TORCH_SUFFIXES = (".pt", ".pth", ".tar", ".ckpt", ".bin")
SUFFIXES = (*TORCH_SUFFIXES, ".npz", ".safetensors")
WRAPPER = "state_dict"  # where training scripts put the weights among other things
PREFIX = "module."  # of every name, from a model that was trained on several devices
SHOWN = 5  # names of what is no array that are written out


def read(path: str | os.PathLike) -> NumpyBatch:
    """The arrays of a weight file, by name, in their own types.

    The file may hold the names directly or under "state_dict", with or without "module." in front
    of every one.

    Args:
      path: a file ending in .pt, .pth, .tar, .ckpt, .bin, .npz or .safetensors.

    Raises:
      UserError: no such file, another kind of file, damaged, holding more than arrays, or in need
        of a package that is not installed.
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"no weight file {path}; check the path")
    suffix = checked_suffix(path)
    if suffix == ".npz":
        return plain(_read_npz(path), str(path))
    if suffix == ".safetensors":
        return plain(_read_safetensors(path), str(path))
    return plain(_read_torch(path), str(path))


def is_one(path: pathlib.Path) -> bool:
    """Whether a path means a weight file, there or not, rather than a folder."""
    return path.is_file() or (path.suffix.lower() in SUFFIXES and not path.is_dir())


def checked_suffix(path: pathlib.Path) -> str:
    """The suffix of a weight file's name, in lower case.

    Raises:
      UserError: if it is none of `SUFFIXES`.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"{path}: the name of a weight file must end in {', '.join(SUFFIXES)}")
    return suffix


def plain(state_dict: Any, source: str) -> NumpyBatch:
    """A state dict of NumPy arrays or PyTorch tensors as NumPy arrays, its wrappings taken off.

    Args:
      state_dict: {name: array}, or that under "state_dict"; names with or without "module.".
      source: where it comes from, for messages.

    Raises:
      UserError: if it is no such thing; the first few names of what is no array are given.
    """
    if isinstance(state_dict, Mapping) and isinstance(state_dict.get(WRAPPER), Mapping):
        state_dict = state_dict[WRAPPER]
    if not isinstance(state_dict, Mapping) or not state_dict:
        what = "nothing" if isinstance(state_dict, Mapping) else type(state_dict).__name__
        raise UserError(
            f"{source} holds {what}, not named weights; give the file with the model's state dict"
        )
    arrays = {str(name): _array(value, str(name), source) for name, value in state_dict.items()}
    wrong = [name for name, value in arrays.items() if value is None]
    if wrong:
        raise UserError(
            f"{source} holds more than weights: {', '.join(wrong[:SHOWN])}"
            f"{' ...' if wrong[SHOWN:] else ''}; give the file with the model's state dict"
        )
    if all(name.startswith(PREFIX) for name in arrays):
        arrays = {name.removeprefix(PREFIX): value for name, value in arrays.items()}
    return arrays  # pyright: ignore[reportReturnType]


def _array(value: Any, name: str, source: str) -> np.ndarray | None:
    try:
        return _converted(value)
    except (NotImplementedError, TypeError, RuntimeError) as error:
        kind = getattr(value, "layout", type(value).__name__)
        raise UserError(
            f"{source}: {name} is no plain array ({kind}, device {getattr(value, 'device', '-')}); "
            "save dense tensors that are in memory"
        ) from error


def _converted(value: Any) -> np.ndarray | None:
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if not hasattr(value, "detach"):
        return np.asarray(value) if hasattr(value, "__array__") else None
    tensor = value.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":  # NumPy has no such type, and no cast is silent here
        import torch

        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


@contextlib.contextmanager
def _reading(path: pathlib.Path, kind: str) -> Iterator[None]:
    """Whatever the bytes of a damaged file lead to is one error."""
    try:
        yield
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is damaged, or holds more than tensors (a whole model, arguments, NumPy "
            "arrays), which may run code and was not opened; get it again from its source, or save "
            "the tensors alone: torch.save(model.state_dict(), ...)"
        ) from error
    except Exception as error:
        if "TorchScript" in str(error):
            raise UserError(
                f"{path} is a TorchScript archive, which holds code and was not opened; save the "
                "weights alone: torch.save(model.state_dict(), ...)"
            ) from error
        first = (str(error).strip().splitlines() or [type(error).__name__])[0].partition(". ")[0]
        raise UserError(
            f"{path} is damaged or no {kind} ({first[:160]}); get it again from its source"
        ) from error


def _check_beginning(path: pathlib.Path) -> None:
    """Names what is often found under the name of a PyTorch file."""
    with path.open("rb") as stream:
        head = stream.read(64)
    if head.startswith(b"version https://git-lfs"):
        raise UserError(f"{path} is a Git LFS pointer, not the file; run `git lfs pull`")
    if head.lstrip()[:1] == b"<":
        raise UserError(f"{path} is a web page, not the file; download the file that it links to")
    if head[8:9] == b"{":
        raise UserError(f"{path} looks like a safetensors file; rename it to .safetensors")


def _check_archive(path: pathlib.Path) -> None:
    """PyTorch's reader does not compare the checksums in its zip archives."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if bad := archive.testzip():
                raise ValueError(f"wrong checksum of {bad}")


def _read_torch(path: pathlib.Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"reading {path} needs PyTorch: pip install torch (or convert it to .npz where PyTorch "
            "is installed, see jaxgesture convert --help)"
        ) from error
    _check_beginning(path)
    with _reading(path, "PyTorch file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # guesses about a file that is refused anyway
        _check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_npz(path: pathlib.Path) -> Any:
    with _reading(path, "archive of arrays"), np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _read_safetensors(path: pathlib.Path) -> Any:
    try:
        from safetensors.numpy import load_file
    except ImportError as error:
        raise UserError(f"reading {path} needs a package: pip install safetensors") from error
    with _reading(path, "safetensors file"):
        return load_file(path)


def write(path: str | os.PathLike, state_dict: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by name; the file appears whole or not at all.

    Args:
      path: ends in .npz, .safetensors, or one of PyTorch's, which get tensors under "state_dict"
        with "module." in front of every name, as released models have it.
      state_dict: the arrays, their names without "module.".

    Raises:
      UserError: an unknown suffix, a package that is not installed, or a place that cannot be
        written.
    """
    path = pathlib.Path(path).expanduser()
    try:
        dump = _writer(checked_suffix(path))
    except ImportError as error:
        raise UserError(f"writing {path} needs a package: pip install {error.name}") from error
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            dump(state_dict, file)
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another place") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _writer(suffix: str) -> Callable[[Mapping[str, np.ndarray], BinaryIO], Any]:
    if suffix == ".npz":
        return lambda arrays, file: np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
    if suffix == ".safetensors":
        from safetensors.numpy import save

        def contiguous(arrays: Mapping[str, np.ndarray]) -> NumpyBatch:
            return {name: np.require(array, requirements="C") for name, array in arrays.items()}

        return lambda arrays, file: file.write(save(contiguous(arrays)))
    import torch

    def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
        # PyTorch warns of memory that it may not write to.
        writable = {k: np.require(v, requirements=("C", "W")) for k, v in arrays.items()}
        return {PREFIX + name: torch.from_numpy(array) for name, array in writable.items()}

    return lambda arrays, file: torch.save({WRAPPER: tensors(arrays)}, file)
