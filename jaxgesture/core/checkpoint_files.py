"""What lies in a folder of checkpoints: which steps there are, and whether one is whole.

Orbax notices missing and cut files, not changed bytes within an array. So each step has
`digests.json`, with size and CRC-32 of every file of its items, written before the step gets its
name. A step that differs from it is damaged. Steps of older versions, and those of object stores,
which check what they hold themselves, have none: they are only tried.
"""

import json
import os
import re
import warnings
import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import jax
import numpy as np
from etils import epath

from jaxgesture.core import tree
from jaxgesture.core import workdir as workdirs
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.types import PyTree

T = TypeVar("T")
FOLDER = "checkpoints"
DIGESTS = "digests.json"
BEST = "best"
_CHUNK = 1 << 22


class _Damaged(Exception):
    """A step is not what was written; the message says where."""


def split(workdir: str | os.PathLike[str]) -> tuple[str, int | str | None]:
    """Reads `runs/stage1@best` and `runs/stage1@2000`: a work directory and one of its steps.

    A folder whose own name ends so is itself.

    Returns:
        The work directory, and the step, "best", or None where no step is named.
    """
    text = os.fspath(workdir)
    found = re.fullmatch(rf"(.+)@(\d+|{BEST})", text)
    if found is None or workdirs.place(text).is_dir():
        return text, None
    return found[1], BEST if found[2] == BEST else int(found[2])


def steps(directory: epath.Path) -> list[int]:
    """Returns the steps that have a name of their own, the newest first; not all need be whole."""
    if not directory.is_dir():
        return []
    found = [entry for entry in directory.iterdir() if entry.name.isdecimal()]
    if workdirs.is_url(directory):
        # There a step has its name from the beginning, and this file at the end.
        found = [entry for entry in found if (entry / "commit_success.txt").exists()]
    return sorted((int(entry.name) for entry in found), reverse=True)


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, _Damaged) else workdirs.reason(error)


def fault(folder: epath.Path, part: str = "") -> str:
    """Compares a step with its digests, by reading all of it; one without any is taken as it is.

    Args:
        folder: of the step.
        part: start of the names to look at; all by default.

    Returns:
        What is wrong with the first file that is missing or not what was written, else "".
    """
    if not folder.is_dir():
        return "it is not a folder"
    if not (folder / DIGESTS).exists():
        return ""
    try:
        wanted = json.loads((folder / DIGESTS).read_text())
        for name, digest in wanted.items():
            if not name.startswith(part):
                continue
            if not (folder / name).exists():
                return f"{name} is missing"
            if _digest(folder / name) != digest:
                return f"{name} is not what was written"
    except (OSError, ValueError, AttributeError) as error:
        return f"{DIGESTS} cannot be used, {_reason(error)}"
    return ""


def as_first_process(answer: bool) -> bool:
    """Returns the answer of process 0, in every process."""
    if jax.process_count() == 1:
        return answer
    from jax.experimental import multihost_utils

    return bool(multihost_utils.broadcast_one_to_all(np.int32(answer)))


def in_any_process(answer: bool) -> bool:
    """Returns whether any process says so."""
    if jax.process_count() == 1:
        return answer
    from jax.experimental import multihost_utils

    return bool(np.any(multihost_utils.process_allgather(np.int32(answer))))


def write_digests(folder: epath.Path) -> None:
    """Writes size and checksum of every file of a step's items."""
    text = json.dumps({name: _digest(folder / name) for name in _names(folder)}, indent=0)
    (folder / DIGESTS).write_text(text + "\n")


def _names(folder: epath.Path) -> list[str]:
    # What lies beside the items Orbax writes again when it gives the step its name.
    items = (item for item in folder.iterdir() if item.is_dir())
    found = (top / name for item in items for top, _, names in item.walk() for name in names)
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _digest(path: epath.Path) -> list[int]:
    size = checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size, checksum = size + len(chunk), zlib.crc32(chunk, checksum)
    return [size, checksum]


def newest_readable(
    directory: epath.Path,
    step: int | None,
    read: Callable[[int], T],
    together: bool = False,
) -> tuple[T, list[int]]:
    """Returns what `read` makes of the newest step it can read, and the steps it could not.

    Args:
        directory: of the checkpoints.
        step: the only step to try, or None.
        read: called with a step that is whole by its digests.
        together: whether all processes do this at once; then process 0 compares the digests.

    Raises:
        UserError: if there is no such step, or none that can be read.
    """
    known = steps(directory)
    if not known:
        raise UserError(
            f"{directory.parent} holds no trained model; train one there, or name another"
        )
    if step is not None and step not in known:
        raise UserError(
            f"no checkpoint of step {step} in {directory.parent}; "
            f"there are {', '.join(map(str, sorted(known)))}"
        )
    damaged: dict[int, str] = {}
    for one in known if step is None else [step]:
        result, failed = None, ""
        try:
            folder = directory / str(one)
            wrong = fault(folder) if not together or jax.process_index() == 0 else ""
            if as_first_process(bool(wrong)) if together else wrong:
                raise _Damaged(wrong or "process 0 finds it damaged")
            result = read(one)
        except (UserError, jax.errors.JaxRuntimeError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - Orbax and TensorStore raise many kinds
            failed = _reason(error)
        # All take the same step, or none. Where a disk fails one host in the middle of `read`, the
        # others wait for it within Orbax, and its time-out ends them.
        if together and in_any_process(bool(failed)):
            failed = failed or "another process cannot read it"
        if failed:
            damaged[one] = failed
            continue
        for bad, why in damaged.items():
            warnings.warn(
                f"checkpoint {directory / str(bad)} cannot be read ({why}); step {one} is used",
                DataWarning,
                stacklevel=3,
            )
        return cast(T, result), list(damaged)
    raise UserError(
        f"no checkpoint in {directory} can be read (newest: {next(iter(damaged.values()))}); "
        "restore the folder from a copy, or start again in a new --workdir"
    )


def set_aside(directory: epath.Path, damaged: Sequence[int]) -> None:
    """Renames damaged steps to STEP.damaged: they neither count nor are in the way of a save."""
    if jax.process_index() == 0:
        for step in damaged:
            target = directory / f"{step}.damaged"
            workdirs.remove(target)
            (directory / str(step)).rename(target)
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices("set aside damaged checkpoints")


def remove_leftovers(directory: epath.Path) -> None:
    """Removes what failed saves have left, which may be what fills the disk."""
    for leftover in directory.glob("*.orbax-checkpoint-tmp*"):
        workdirs.remove(leftover)


def read_json(folder: epath.Path, item: str) -> dict[str, Any]:
    """Returns one of the JSON items of a step."""
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        return reader.restore(folder / item)


def metadata(folder: epath.Path) -> dict[str, Any]:
    """Returns the saved state's tree with a shape and type for each leaf."""
    import orbax.checkpoint as ocp

    return ocp.PyTreeCheckpointHandler().metadata(folder / "state").tree  # pyright: ignore


def check_shapes(folder: epath.Path, abstract_state: PyTree) -> None:
    """Raises a UserError if the saved leaves are not those wanted."""
    saved = {k: (tuple(v.shape), str(v.dtype)) for k, v in tree.flatten(metadata(folder)).items()}
    wanted = {k: (tuple(v.shape), str(v.dtype)) for k, v in tree.flatten(abstract_state).items()}
    wrong = [k for k in sorted(saved.keys() | wanted.keys()) if saved.get(k) != wanted.get(k)]
    if wrong:
        key = wrong[0]
        raise UserError(
            f"{folder} holds another network: {len(wrong)} arrays differ, the first is {key} with "
            f"{saved.get(key, 'nothing')} saved and {wanted.get(key, 'nothing')} wanted; use the "
            "version that wrote it, or a new --workdir"
        )
