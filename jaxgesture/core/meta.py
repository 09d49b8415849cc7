"""What a checkpoint says of the run that wrote it, and whether another run may go on from it."""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxgesture.core import config, meeting
from jaxgesture.core.errors import UserError

PACKAGES = ("jaxgesture", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
# Of this clone, or of the place it is installed in.
ROOT = pathlib.Path(__file__).resolve().parents[2]
# Hashes of what a run is trained on.
DATA = ("dataset_sha256", "weights_sha256")
# Hash of the networks that judge it; a run that had none has no such key.
FROZEN = "frozen_sha256"
# Keys that say where something lies on one host.
OF_A_HOST = (
    "config.data.directory", "config.data.workers",
    # What is in these files, `FROZEN` holds.
    "config.loss.perceptual_weights", "config.loss.local_weights",
)  # fmt: skip
# A message is one line: more keys than this are only counted.
SHOWN = 6


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages a result depends on."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit(folder: pathlib.Path = ROOT) -> str | None:
    """The commit of a clone, "dirty" where files differ from it; None elsewhere."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return found.stdout.strip()

    try:
        # An installed package may lie inside of somebody else's repository.
        if pathlib.Path(git("rev-parse", "--show-toplevel")).resolve() != folder.resolve():
            return None
        head, changed = git("rev-parse", "HEAD"), git("status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head[:12]} dirty" if changed else head[:12]


def make(stage: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the meta of a checkpoint: what the stage gives, its name, and the versions."""
    return {**given, "stage": stage, "versions": versions()}


def check(
    stored: Mapping[str, Any],
    stage: str,
    given: Mapping[str, Any],
    workdir: os.PathLike[str],
    free: Sequence[str],
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Checks that a stored meta is that of this stage and configuration.

    Args:
        stored: meta of a checkpoint in the workdir.
        stage: name of the stage that wants to go on from it.
        given: the stage's own meta; "config" and the hashes of the data are compared.
        workdir: for the message.
        free: sections or keys of the configuration that may differ.
        defaults: of the keys of a configuration that the stored one is too old to have.

    Raises:
        UserError: naming the keys that differ, with both values.
    """
    if "stage" not in stored:
        raise UserError(
            f"the newest checkpoint of {workdir} does not say what it is of (its meta is damaged); "
            "rename its folder, and the one before is taken, or restore it from a copy"
        )
    if stored["stage"] != stage:
        raise UserError(
            f"{workdir} is the workdir of stage {stored['stage']!r}, not {stage!r}; "
            "use another --workdir"
        )
    for name in DATA:
        if name in stored and stored[name] != given.get(name):
            raise UserError(
                f"{workdir} was trained on other data ({name} differs); point data.directory back "
                "to it, or use another --workdir"
            )
    changed = config.differences(stored.get("config", {}), given.get("config", {}), free, defaults)
    if changed:
        raise UserError(
            f"{workdir} was trained with another configuration: {_listed(changed, 'was', 'now')}; "
            "set them back, or use another --workdir"
        )
    if stored.get(FROZEN) != given.get(FROZEN):
        raise UserError(
            f"{workdir} was trained with other weights of the networks in its loss; give the same "
            "files again, or use another --workdir"
        )


def check_processes(stage: str, given: Mapping[str, Any]) -> None:
    """Checks that all processes were started with the configuration and data of the first.

    All must call it at once.

    Args:
        stage: name of the stage.
        given: its meta, and what else must be the same; JSON values.

    Raises:
        UserError: in a process that differs with the keys and both values, in the others with the
            numbers of those processes.
    """
    if jax.process_count() == 1:
        return
    from jax.experimental import multihost_utils

    mine = {**given, "stage": stage}
    text = np.frombuffer(json.dumps(mine, default=str).encode(), np.uint8).astype(np.int32)
    sent = np.zeros(int(multihost_utils.broadcast_one_to_all(np.int32(text.size))), np.int32)
    if jax.process_index() == 0:
        sent[:] = text
    sent = np.asarray(multihost_utils.broadcast_one_to_all(sent)).astype(np.uint8)
    first = json.loads(sent.tobytes())
    changed = config.differences(first, mine, OF_A_HOST)
    wrong = multihost_utils.process_allgather(np.int32(bool(changed)))
    if changed:
        raise UserError(
            "this process was started with another configuration than process 0: "
            f"{_listed(changed, 'is there', 'here')}; start all with the same command"
        )
    if np.any(wrong):
        others = [int(index) for index in np.flatnonzero(wrong)]
        raise UserError(
            f"not started with the configuration of process 0: {meeting.name(others, len(wrong))}; "
            "its own line says what differs; start all with the same command"
        )


def _listed(changed: Mapping[str, tuple[Any, Any]], before: str, after: str) -> str:
    listed = [f"{key} {before} {old!r}, {after} {new!r}" for key, (old, new) in changed.items()]
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return "; ".join(listed[:SHOWN]) + more


def check_stage(folder: os.PathLike[str], found: Any, wanted: str) -> None:
    """Raises a UserError if a folder holds a model of another stage."""
    if found != wanted:
        raise UserError(f"{folder} holds a model of {found!r}; give one of {wanted!r}")
