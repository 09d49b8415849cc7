"""When checkpoints are written, and which of them stay."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxgesture.core import best
from jaxgesture.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """When checkpoints are written, and which stay.

    Attributes:
        every_steps: steps between two checkpoints; 0 writes one at the end only.
        keep: how many of the newest stay on disk; 0 keeps all.
        keep_every_steps: steps divisible by this stay for good, besides the newest; 0 for none.
        best_metric: the checkpoint where evaluations measured the best value of this stays too, by
            the name that metrics.jsonl has after "eval/"; "" for none, or for the one that the
            workdir has from an earlier command, with its mode. Each evaluation counts, at whatever
            step: where one is the best so far, a checkpoint of that very step is written. Commands
            take it where they take the workdir, as `runs/stage1@best`.
        best_mode: "max" or "min", what is better.
    """

    every_steps: int = 1000
    keep: int = 3
    keep_every_steps: int = 0
    best_metric: str = ""
    best_mode: str = "max"

    def __post_init__(self):
        for name in ("every_steps", "keep", "keep_every_steps"):
            if getattr(self, name) < 0:
                raise UserError(f"checkpoint.{name}={getattr(self, name)} must not be negative")
        if self.best_mode not in best.MODES:
            raise UserError(
                f"checkpoint.best_mode={self.best_mode!r} must be {' or '.join(best.MODES)}"
            )
        if "loss" in self.best_metric and self.best_mode == "max":
            raise UserError(
                f"checkpoint.best_metric={self.best_metric!r} with best_mode='max' keeps the worst "
                "checkpoint; set checkpoint.best_mode=min"
            )


@dataclasses.dataclass
class Retention:
    """Orbax's preservation policy: the newest, every so many steps, and the best."""

    config: CheckpointConfig
    scores: best.Scores

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Returns for each checkpoint, the oldest first, whether it stays."""
        del context
        steps = [one.step for one in checkpoints]
        newest = set(sorted(steps)[-self.config.keep :])  # all of them for 0
        every, top = self.config.keep_every_steps, self.scores.best(steps)
        return [s in newest or s == top or (every > 0 and s % every == 0) for s in steps]
