"""Which checkpoint is best: `WORKDIR/checkpoints/scores.json`, what evaluations measured.

    {"metric": "psnr", "mode": "max", "steps": {"2000": {"psnr": 24.1, "loss": 0.2}, ...}}

Only steps that were evaluated themselves are in it, and only those on disk count.
"""

import contextlib
import json
import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import jax
from etils import epath

from jaxgesture.core import workdir as workdirs
from jaxgesture.core.errors import DataWarning, UserError

FILE = "scores.json"
MODES = ("max", "min")


class Scores:
    """The scores of the checkpoints in one folder; only process 0 writes.

    Args:
        directory: of the checkpoints.
        metric: of the evaluations, by their name for it; "" for what the file has, or none.
        mode: "max" or "min", what is better; of the file, where the metric is.
    """

    def __init__(self, directory: epath.Path, metric: str, mode: str):
        self.path, found = directory / FILE, _read(directory / FILE)
        self._adopted = not metric and bool(found.get("metric"))
        if self._adopted:
            # Or a command that leaves it out would delete the best checkpoint.
            metric, mode = found["metric"], found["mode"]
        self.metric, self.mode, self.steps = metric, mode, found.get("steps", {})
        if self._known() and (metric, mode) != (found.get("metric"), found.get("mode")):
            with contextlib.suppress(OSError):  # the next evaluation tells of it
                self._write(metric)

    def best(self, among: Iterable[int]) -> int | None:
        """Returns the best of some steps, the first of equals; None if none has a score."""
        return _best(self.steps, self.metric, self.mode, among)

    def improves(self, values: Mapping[str, Any], among: Iterable[int]) -> bool:
        """Returns whether new values are better than those of all the given steps.

        Raises:
            UserError: if they lack the metric.
        """
        if not self.metric:
            return False
        if self.metric not in values and self._adopted:
            warnings.warn(
                f"this run kept its best checkpoint by {self.metric!r}, which the evaluation does "
                f"not measure now: no other one will be kept; to end that, delete {self.path}",
                DataWarning,
                stacklevel=2,
            )
            return False
        if self.metric not in values:
            raise UserError(
                f"checkpoint.best_metric={self.metric!r} is nothing that the evaluation measures; "
                f"it measures {', '.join(sorted(values)) or 'nothing'}; the same command with one "
                "of these goes on from the last checkpoint"
            )
        new = {**self.steps, "-1": {self.metric: float(values[self.metric])}}
        return _best(new, self.metric, self.mode, [*among, -1]) == -1

    def add(self, step: int, values: Mapping[str, Any], among: Iterable[int]) -> None:
        """Notes what a step measures, and forgets the steps that are not among those given."""
        kept = {str(one) for one in among} & self.steps.keys()
        self.steps = {name: self.steps[name] for name in kept}
        # JSON has no number for the others, and they are never best.
        finite = {name: float(v) for name, v in values.items() if math.isfinite(float(v))}
        self.steps[str(step)] = finite
        # A misspelt metric is not to be taken up by the next command.
        self._write(self.metric if self.metric in values or self._known() else "")

    def _known(self) -> bool:
        return bool(self.metric) and any(self.metric in one for one in self.steps.values())

    def _write(self, metric: str) -> None:
        if jax.process_index() == 0:
            text = json.dumps({"metric": metric, "mode": self.mode, "steps": self.steps})
            workdirs.write_whole(self.path, text + "\n")


def best_step(directory: epath.Path, among: Iterable[int]) -> int:
    """Returns the best of the steps of a folder, by the metric its run asked for.

    Raises:
        UserError: if the run asked for none, or none was evaluated.
    """
    found, among = _read(directory / FILE), list(among)
    if not found.get("metric"):
        raise UserError(
            f"{directory.parent} has no best step: its run had no checkpoint.best_metric; name a "
            f"step instead, {', '.join(map(str, sorted(among)))}"
        )
    best = _best(found["steps"], found["metric"], found["mode"], among)
    if best is None:
        raise UserError(
            f"no checkpoint in {directory.parent} was evaluated yet; name a step instead, "
            f"{', '.join(map(str, sorted(among)))}"
        )
    return best


def _read(path: epath.Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        for name in found["steps"]:
            int(name)
        if found.get("metric") and found["mode"] not in MODES:
            raise ValueError(f"mode {found['mode']!r}")
        return found
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error}); delete it: the best step is then the best of those that "
            "are evaluated from now on"
        ) from error


def _best(
    steps: Mapping[str, Mapping[str, float]], metric: str, mode: str, among: Iterable[int]
) -> int | None:
    sign = -1.0 if mode == "max" else 1.0
    ranked = [
        (sign * steps[str(step)][metric], step)
        for step in sorted(among)
        if metric in steps.get(str(step), {})
    ]
    finite = [pair for pair in ranked if math.isfinite(pair[0])]
    # -1 stands for a new step: it must beat the others.
    return min(finite, key=lambda pair: (pair[0], pair[1] == -1))[1] if finite else None
