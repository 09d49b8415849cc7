"""Exported models: a folder with `weights.npz` and `model.json`, free of optimiser and Orbax."""

import contextlib
import json
import os
import pathlib
import zipfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.core import checkpoint, checkpoint_files, meta, tree
from jaxgesture.core import config as configuration
from jaxgesture.core import workdir as workdirs
from jaxgesture.core.errors import UserError
from jaxgesture.core.state import Network
from jaxgesture.core.types import PyTree

FILE = "model.json"
WEIGHTS = "weights.npz"


def save(
    folder: str | os.PathLike, stage: str, variables: PyTree, config: Any, **more: Any
) -> None:
    """Writes variables and the model's configuration; each file appears whole or not at all.

    Args:
      folder: created if missing.
      stage: "animation" or "motion".
      variables: nested dictionaries of arrays.
      config: the model's dataclass.
      more: what else the description says; JSON values.

    Raises:
      UserError: if the folder cannot be written.
    """
    folder = pathlib.Path(folder).expanduser()
    description = {"stage": stage, "model": configuration.section(config), **more}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{WEIGHTS}.tmp"
        with temporary.open("wb") as file:
            arrays: dict[str, Any] = {k: np.asarray(v) for k, v in tree.flatten(variables).items()}
            np.savez(file, **arrays)
        temporary.replace(folder / WEIGHTS)
        temporary = folder / f".{FILE}.tmp"
        temporary.write_text(json.dumps(description, indent=2) + "\n")
        temporary.replace(folder / FILE)
    except OSError as error:
        for name in (WEIGHTS, FILE):
            with contextlib.suppress(OSError):
                (folder / f".{name}.tmp").unlink(missing_ok=True)
        raise UserError(
            f"cannot write {folder}: {error.strerror}; choose another folder"
        ) from error


def load(folder: str | os.PathLike, stage: str) -> tuple[PyTree, dict[str, Any]]:
    """Reads what `save` wrote: the variables as JAX arrays, and the description.

    Raises:
      UserError: if a file is missing or damaged, or belongs to another stage.
    """
    folder = pathlib.Path(folder).expanduser()
    try:
        description = json.loads((folder / FILE).read_text())
        if not isinstance(description, dict):
            raise ValueError(f"{FILE} holds no description")
        with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
            variables = {name: jnp.asarray(arrays[name]) for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{folder} is not a whole exported model ({error}); export it again"
        ) from error
    meta.check_stage(folder, description.get("stage"), stage)
    return tree.unflatten(variables), description


def restore_trained(
    workdir: str | os.PathLike, name: str, stage: str
) -> tuple[Network, dict[str, Any]]:
    """The network of a training run's checkpoint, and its meta.

    Args:
      workdir: of the run; its newest checkpoint is taken, but for `WORKDIR@2000` that of the step
        and for `WORKDIR@best` the best (`CheckpointConfig.best_metric`).
      name: of the network.
      stage: of the run.

    Raises:
      UserError: if the folder is missing, holds no such checkpoint, or is of the other stage.
    """
    folder = checkpoint_files.split(workdir)[0]
    if not workdirs.place(folder).is_dir():
        raise UserError(
            f"no folder {folder}; name the work directory of a training run, or an exported model"
        )
    networks, about = checkpoint.restore_networks(workdir, names=[name], stage=stage)
    return jax.tree.map(jnp.asarray, networks[name]), about
