"""Checkpoints of a run: `WORKDIR/checkpoints/STEP/{state,data,meta}`, written by Orbax.

A step's folder gets its name when it is complete, so a process killed at any moment leaves at
worst a temporary folder, which the next run removes. A state is restored into the shardings of
whoever asks: the number of devices may change between save and restore. What a folder holds is
checked before it is used (`core.checkpoint_files`), and older steps are deleted only after a newer
one is complete.

A save that the storage refuses (a full disk) is a counted warning, and the next one tries again;
only at the end of a run is it an error. With several processes it is one at once: what failed on
one host left the others waiting.
"""

import contextlib
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import jax

from jaxgesture.core import best, checkpoint_files, orbax_noise
from jaxgesture.core import workdir as workdirs
from jaxgesture.core.checkpoint_files import BEST, FOLDER
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.meta import check_stage
from jaxgesture.core.retention import CheckpointConfig, Retention
from jaxgesture.core.state import Network
from jaxgesture.core.types import PyTree

T = TypeVar("T")
PARTS = ("params", "stats", "ema")


class Checkpoints:
    """Saves and restores the checkpoints of one work directory, in the background.

    Use as a context manager; leaving it waits for the last write.

    Attributes:
        failures: how many saves have failed.

    Raises:
        UserError: at once if the folder cannot be written.
    """

    def __init__(self, workdir: str | os.PathLike[str], config: CheckpointConfig):
        import orbax.checkpoint as ocp

        orbax_noise.mute()
        self.config, self.failures = config, 0
        self.directory = workdirs.place(workdir) / FOLDER
        workdirs.check_writable(self.directory)
        self._scores = best.Scores(self.directory, config.best_metric, config.best_mode)
        # The step in the background, and the last one that was not written, with the reason.
        self._writing: int | None = None
        self._failed: tuple[int, str] | None = None
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=Retention(config, self._scores),
                cleanup_tmp_directories=True,
                async_options=ocp.AsyncOptions(post_finalization_callback=self._write_digests),
            ),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        # What is under way is told, and not what comes of it.
        try:
            with contextlib.suppress(UserError) if kind else contextlib.nullcontext():
                self.settle()
        finally:
            self._manager.close()

    def latest(self) -> int | None:
        """Returns the newest step, or None if there is none."""
        return self._manager.latest_step()

    def due(self, step: int) -> bool:
        """Returns whether `save` writes at this step without being forced.

        Asked at every step, it also tells of a write in the background that has failed since.
        """
        if self._writing is not None and not self._manager.is_saving_in_progress():
            self.settle()
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
        be donated afterwards. Warns where the storage fails, now or later (`settle`).

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

        if not (force or self.due(step)):
            return False
        self.settle()
        if step in self._manager.all_steps():
            return False
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),  # pyright: ignore[reportCallIssue]
            data=ocp.args.JsonSave(data),  # pyright: ignore[reportCallIssue]
            meta=ocp.args.JsonSave(meta),  # pyright: ignore[reportCallIssue]
        )
        self._writing = step
        try:
            return self._manager.save(step, args=items, force=True)
        except Exception as error:  # noqa: BLE001 - Orbax and TensorStore raise many kinds
            self._fail(error)
            return False

    def settle(self) -> None:
        """Returns when the last checkpoint is on disk, or with a warning that it failed.

        Raises:
            UserError: instead of the warning, with several processes.
        """
        if self._writing is None:
            return
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # noqa: BLE001 - Orbax and TensorStore raise many kinds
            self._fail(error)
        else:
            self._writing = self._failed = None

    def wait(self) -> None:
        """Returns when the last checkpoint is on disk.

        Raises:
            UserError: if it could not be written.
        """
        self.settle()
        if self._failed is not None:
            raise UserError(self._told(*self._failed) + "; then run the same command again")

    def _fail(self, error: Exception) -> None:
        if self._writing is None or not workdirs.is_storage(error):
            raise error
        step, self._writing = self._writing, None
        self.failures += 1
        self._failed = (step, workdirs.reason(error))
        if jax.process_index() == 0:
            checkpoint_files.remove_leftovers(self.directory)
        if jax.process_count() > 1:
            raise UserError(self._told(*self._failed) + "; then start all processes again")
        # Orbax has forgotten the steps that were to go after this one, and they are still there.
        self._manager.reload()
        told = f"{self._told(*self._failed)}; training goes on and the next save tries again"
        if step in self._manager.all_steps():
            told = f"checkpoint {step} is whole, but older ones stay ({self._failed[1]})"
            self._failed = None
        warnings.warn(f"{told} ({self.failures} failed so far)", DataWarning, stacklevel=3)

    def _told(self, step: int, reason: str) -> str:
        known = [one for one in checkpoint_files.steps(self.directory) if one != step]
        kept = f"checkpoint {known[0]} is the newest" if known else "there is no checkpoint yet"
        free = workdirs.free_bytes(self.directory)
        room = "" if free is None else f" with {workdirs.amount(free)} free"
        return (
            f"checkpoint {step} could not be written to {self.directory} ({reason}{room}); {kept}; "
            "make room or mend the storage"
        )

    def _write_digests(self) -> None:
        """Called in the background when a step's files are there, before it gets its name."""
        for folder in self.directory.glob(f"{self._writing}.orbax-checkpoint-tmp*"):
            checkpoint_files.write_digests(folder)

    def improves(self, values: Mapping[str, Any]) -> bool:
        """Returns whether an evaluation is the best so far; the same in every process.

        Raises:
            UserError: if it lacks `best_metric`.
        """
        better = self._scores.improves(values, self._manager.all_steps())
        return checkpoint_files.as_first_process(better)

    def score(self, step: int, values: Mapping[str, Any]) -> None:
        """Notes what an evaluation measured at a step, if that step has a checkpoint.

        Warns if it cannot be written.
        """
        if step not in (among := self._manager.all_steps()):
            return
        try:
            with workdirs.as_os_error(self.directory):
                self._scores.add(step, values, among)
        except OSError as error:
            warnings.warn(
                f"what was measured at step {step} could not be written to {self.directory} "
                f"({workdirs.reason(error)}): make room; the next evaluation writes it too",
                DataWarning,
                stacklevel=2,
            )

    def check_room(self, state: PyTree) -> None:
        """Warns if the checkpoints of a state will not fit on the disk."""
        free = workdirs.free_bytes(self.directory)
        if free is None or jax.process_index() > 0:
            return
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        # The old ones go when the new one is there.
        more = max(1, self.config.keep + 1 - len(checkpoint_files.steps(self.directory)))
        if free < size * more:
            warnings.warn(
                f"{self.directory} has {workdirs.amount(free)} free and its checkpoints will take "
                f"up to {more} x {workdirs.amount(size)} more: make room, or lower "
                "checkpoint.keep (an old one goes when the new one is there)",
                DataWarning,
                stacklevel=2,
            )

    def meta(self) -> dict[str, Any] | None:
        """Returns the meta of the newest checkpoint that can be read, or None if there is none."""
        for step in checkpoint_files.steps(self.directory):
            folder = self.directory / str(step)
            with contextlib.suppress(OSError, ValueError):  # `restore` warns of it
                if not checkpoint_files.fault(folder, "meta/"):
                    return checkpoint_files.read_json(folder, "meta")
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
            checkpoint_files.check_shapes(folder, abstract_state)
            items = ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract_state)  # pyright: ignore[reportCallIssue]
            )
            restored = self._manager.restore(one, args=items)
            data, meta = (checkpoint_files.read_json(folder, name) for name in ("data", "meta"))
            return restored["state"], data, meta

        self.settle()
        result, damaged = checkpoint_files.newest_readable(
            self.directory, step, read, together=True
        )
        if damaged:
            checkpoint_files.set_aside(self.directory, damaged)
            self._manager.reload()
        return result

    def reached_preemption(self, step: int) -> bool:
        """Returns whether the scheduler is about to stop this run; the same on every host."""
        return self._manager.reached_preemption(step)


def restore_networks(
    workdir: str | os.PathLike[str],
    *,
    step: int | str | None = None,
    names: Iterable[str] | None = None,
    stage: str | None = None,
    parts: Sequence[str] = PARTS,
    device: Any = None,
) -> tuple[dict[str, Network], dict[str, Any]]:
    """Reads networks for inference: no optimiser is built, nothing in the workdir changes.

    Args:
        workdir: the work directory of a training run, on any number of devices. `WORKDIR@2000` and
            `WORKDIR@best` name a step too.
        step: the step to read, or "best" (`CheckpointConfig.best_metric`); by default the one that
            the workdir names, else the newest that is whole.
        names: networks to read; all if None.
        stage: what the checkpoint must be of; anything if None.
        parts: of "params", "stats" and "ema"; the rest is None (`{}` for "stats").
        device: the `jax.Device` where the arrays go; by default the first device.

    Returns:
        The networks by name, with `opt_state=None` and nested dictionaries of arrays, and the
        checkpoint's meta with its "step".

    Raises:
        UserError: if there is no such checkpoint, it is of another stage, or has no such network.
    """
    import orbax.checkpoint as ocp

    orbax_noise.mute()
    path, named = checkpoint_files.split(workdir)
    directory = workdirs.place(path) / FOLDER
    step = named if step is None else step
    if step == BEST:
        step = best.best_step(directory, checkpoint_files.steps(directory))
    target = jax.sharding.SingleDeviceSharding(device or jax.local_devices()[0])

    def read(one: int) -> tuple[dict[str, Network], dict[str, Any]]:
        folder = directory / str(one)
        about = checkpoint_files.read_json(folder, "meta")
        if stage is not None:
            check_stage(directory.parent, about.get("stage"), stage)
        found = checkpoint_files.metadata(folder)["networks"]
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

    assert step is None or isinstance(step, int)
    return checkpoint_files.newest_readable(directory, step, read)[0]
