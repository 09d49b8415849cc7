"""Checkpoints of a run: `WORKDIR/checkpoints/STEP/{state,data,meta}`, written by Orbax.

A step's folder gets its name when it is complete, so a process killed at any moment leaves at
worst a temporary folder, which the next run removes. A state is restored into the shardings of
whoever asks: the number of devices may change between save and restore.
"""

import dataclasses
import os
import pathlib
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import jax

from jaxgesture.core import tree
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.meta import check_stage
from jaxgesture.core.state import Network
from jaxgesture.core.types import PyTree

T = TypeVar("T")
FOLDER = "checkpoints"
PARTS = ("params", "stats", "ema")


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """When checkpoints are written, and how many stay.

    Attributes:
        every_steps: steps between two checkpoints; 0 writes one at the end only.
        keep: how many of the newest stay on disk; 0 keeps all.
    """

    every_steps: int = 1000
    keep: int = 3

    def __post_init__(self):
        if self.every_steps < 0 or self.keep < 0:
            raise UserError(
                f"checkpoint.every_steps={self.every_steps} and checkpoint.keep={self.keep} must "
                "not be negative"
            )


class Checkpoints:
    """Saves and restores the checkpoints of one work directory, in the background.

    Use as a context manager; leaving it waits for the last write.
    """

    def __init__(self, workdir: str | os.PathLike[str], config: CheckpointConfig):
        import orbax.checkpoint as ocp

        self.config = config
        # Orbax wants absolute paths.
        self.directory = pathlib.Path(workdir).expanduser().resolve() / FOLDER
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=config.keep or None, cleanup_tmp_directories=True
            ),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self._manager.close()

    def latest(self) -> int | None:
        """Returns the newest step, or None if there is none."""
        return self._manager.latest_step()

    def due(self, step: int) -> bool:
        """Returns whether `save` writes at this step without being forced."""
        return self.config.every_steps > 0 and step % self.config.every_steps == 0

    def save(
        self,
        step: int,
        state: PyTree,
        data: dict[str, Any],
        meta: dict[str, Any],
        force: bool = False,
    ) -> bool:
        """Writes a checkpoint if one is due or forced and the step has none yet.

        Returns once the state is copied; the files are written in the background. The state may
        be donated afterwards.

        Args:
            step: number of steps done.
            state: a pytree of arrays.
            data: where the data stands; JSON values.
            meta: free-form; JSON values.
            force: write even if none is due.

        Returns:
            Whether a checkpoint is being written.
        """
        import orbax.checkpoint as ocp

        if not (force or self.due(step)) or step in self._manager.all_steps():
            return False
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),  # pyright: ignore[reportCallIssue]
            data=ocp.args.JsonSave(data),  # pyright: ignore[reportCallIssue]
            meta=ocp.args.JsonSave(meta),  # pyright: ignore[reportCallIssue]
        )
        return self._manager.save(step, args=items, force=True)

    def meta(self) -> dict[str, Any] | None:
        """Returns the meta of the newest checkpoint that can be read, or None if there is none."""
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                return _read_json(self.directory / str(step), "meta")
            except (OSError, ValueError):
                continue  # `restore` warns of it
        return None

    def restore(
        self, abstract_state: T, step: int | None = None
    ) -> tuple[T, dict[str, Any], dict[str, Any]]:
        """Restores a step, by default the newest that is whole.

        A newest step that cannot be read is set aside (its folder is renamed to STEP.damaged, with
        a warning) and the one before is taken.

        Args:
            abstract_state: shape structs with shardings (`sharding.with_shardings`).
            step: the step to restore; then nothing is set aside.

        Returns:
            The state, the data's position and the meta.

        Raises:
            UserError: if there is no checkpoint that fits and can be read.
        """
        import orbax.checkpoint as ocp

        def read(one: int) -> tuple[T, dict[str, Any], dict[str, Any]]:
            folder = self.directory / str(one)
            _check_shapes(folder, abstract_state)
            items = ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract_state)  # pyright: ignore[reportCallIssue]
            )
            restored = self._manager.restore(one, args=items)
            return restored["state"], _read_json(folder, "data"), _read_json(folder, "meta")

        self.wait()
        steps = sorted(self._manager.all_steps(), reverse=True)
        result, damaged = _newest_readable(self.directory, steps, step, read)
        if damaged:
            self._set_aside(damaged)
        return result

    def _set_aside(self, steps: Sequence[int]) -> None:
        """Renames damaged steps, so that they neither count nor are in the way of a new save."""
        if jax.process_index() == 0:
            for step in steps:
                target = self.directory / f"{step}.damaged"
                shutil.rmtree(target, ignore_errors=True)
                (self.directory / str(step)).rename(target)
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices("set aside damaged checkpoints")
        self._manager.reload()

    def wait(self) -> None:
        """Returns when the last checkpoint is on disk."""
        self._manager.wait_until_finished()

    def reached_preemption(self, step: int) -> bool:
        """Returns whether the scheduler is about to stop this run; the same on every host."""
        return self._manager.reached_preemption(step)


def restore_networks(
    workdir: str | os.PathLike[str],
    *,
    step: int | None = None,
    names: Iterable[str] | None = None,
    stage: str | None = None,
    parts: Sequence[str] = PARTS,
    device: Any = None,
) -> tuple[dict[str, Network], dict[str, Any]]:
    """Reads networks for inference: no optimiser is built, nothing in the workdir changes.

    Args:
        workdir: the work directory of a training run, on any number of devices.
        step: the step to read; by default the newest that is whole.
        names: networks to read; all if None.
        stage: what the checkpoint must be of; anything if None.
        parts: of "params", "stats" and "ema"; the rest is None (`{}` for "stats").
        device: the `jax.Device` where the arrays go; by default the first device.

    Returns:
        The networks by name, with `opt_state=None` and nested dictionaries of arrays, and the
        checkpoint's meta with its "step".

    Raises:
        UserError: if there is no checkpoint, it is of another stage, or has no such network.
    """
    import orbax.checkpoint as ocp

    directory = pathlib.Path(workdir).expanduser().resolve() / FOLDER
    target = jax.sharding.SingleDeviceSharding(device or jax.local_devices()[0])

    def read(one: int) -> tuple[dict[str, Network], dict[str, Any]]:
        folder = directory / str(one)
        about = _read_json(folder, "meta")
        if stage is not None:
            check_stage(directory.parent, about.get("stage"), stage)
        found = _metadata(folder)["networks"]
        wanted = sorted(found) if names is None else list(names)
        for name in wanted:
            if name not in found:
                raise UserError(f"{folder} has no network {name!r}; it has {', '.join(found)}")
        item = {"networks": {n: {p: found[n][p] for p in parts} for n in wanted}}
        item = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=target), item
        )
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
            restored = reader.restore(
                folder / "state",
                args=ocp.args.PyTreeRestore(  # pyright: ignore[reportCallIssue]
                    item,
                    restore_args=ocp.checkpoint_utils.construct_restore_args(item),
                    partial_restore=True,
                ),
            )["networks"]
        networks = {
            name: Network(
                params=restored[name].get("params"),
                stats=restored[name].get("stats") or {},
                opt_state=None,
                ema=restored[name].get("ema"),
            )
            for name in wanted
        }
        return networks, {**about, "step": one}

    steps = sorted((int(d.name) for d in directory.glob("*") if d.name.isdigit()), reverse=True)
    return _newest_readable(directory, steps, step, read)[0]


def _newest_readable(
    directory: pathlib.Path, steps: Sequence[int], step: int | None, read: Callable[[int], T]
) -> tuple[T, list[int]]:
    """Returns what `read` makes of the newest step it can read, and the steps it could not."""
    if not steps:
        raise UserError(
            f"{directory.parent} holds no trained model; train one there, or name another"
        )
    if step is not None and step not in steps:
        raise UserError(
            f"no checkpoint of step {step} in {directory.parent}; "
            f"there are {', '.join(map(str, sorted(steps)))}"
        )
    damaged: list[int] = []
    reason = ""
    for one in steps if step is None else [step]:
        try:
            result = read(one)
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 - Orbax and TensorStore raise many kinds
            damaged.append(one)
            # One line of what may be pages.
            first = next(iter(str(error).strip().splitlines()), "")[:120]
            reason = reason or f"{type(error).__name__}: {first}"
            continue
        for bad in damaged:
            warnings.warn(
                f"checkpoint {directory / str(bad)} cannot be read ({reason}); step {one} is used",
                DataWarning,
                stacklevel=3,
            )
        return result, damaged
    raise UserError(
        f"no checkpoint in {directory} can be read (newest: {reason}); "
        "restore the folder from a copy, or start again in a new --workdir"
    )


def _read_json(folder: pathlib.Path, item: str) -> dict[str, Any]:
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        return reader.restore(folder / item)


def _metadata(folder: pathlib.Path) -> dict[str, Any]:
    """Returns the saved state's tree with a shape and type for each leaf."""
    import orbax.checkpoint as ocp

    return ocp.PyTreeCheckpointHandler().metadata(folder / "state").tree  # pyright: ignore


def _check_shapes(folder: pathlib.Path, abstract_state: PyTree) -> None:
    """Raises a UserError if the saved leaves are not those wanted."""
    saved = {k: (tuple(v.shape), str(v.dtype)) for k, v in tree.flatten(_metadata(folder)).items()}
    wanted = {k: (tuple(v.shape), str(v.dtype)) for k, v in tree.flatten(abstract_state).items()}
    wrong = [k for k in sorted(saved.keys() | wanted.keys()) if saved.get(k) != wanted.get(k)]
    if wrong:
        key = wrong[0]
        raise UserError(
            f"{folder} holds another network: {len(wrong)} arrays differ, the first is {key} with "
            f"{saved.get(key, 'nothing')} saved and {wanted.get(key, 'nothing')} wanted; use the "
            "version that wrote it, or a new --workdir"
        )
