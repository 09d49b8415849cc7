"""What a model gives the training loop, and how long the loop runs."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from jaxtyping import Array

from jaxgesture.core.errors import UserError
from jaxgesture.core.metrics import MetricWriter
from jaxgesture.core.state import TrainState
from jaxgesture.core.types import Metrics, PyTree


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long a run is and how often it reports.

    Attributes:
        steps: steps in all, those of earlier runs in the workdir included.
        log_every: steps between two lines of metrics, each a mean over the steps since the last.
        eval_every: steps between two evaluations; 0 evaluates at the end only.
        seed: of the initial parameters and of every step's randomness.
    """

    steps: int = 1000
    log_every: int = 50
    eval_every: int = 0
    seed: int = 0

    def __post_init__(self):
        if self.steps < 1 or self.log_every < 1 or self.eval_every < 0:
            raise UserError(
                f"train.steps={self.steps} and train.log_every={self.log_every} must be positive "
                f"and train.eval_every={self.eval_every} not negative"
            )
        if not -(2**63) <= self.seed < 2**63:
            raise UserError(
                f"train.seed={self.seed} does not fit into 64 bits; choose a smaller one"
            )


# (state, batch, key), and the frozen arrays behind them where the stage has some.
Step = Callable[..., tuple[TrainState, Metrics]]


@dataclasses.dataclass(frozen=True)
class Stage:
    """What the loop knows of a model.

    Attributes:
        name: of the stage, stored with the checkpoints ("animation", "motion").
        init: a pure function from a key to the state at step 0.
        step: a pure function (state, batch, key of this step) -> (state, metrics), the metrics
            scalars by name. The loop counts `state.step`; the function may leave it alone.
        opening: another such function for the first `opening_steps` steps, with metrics of its own.
            Each is compiled when it is needed: inside a branch of one program convolutions ran
            ten times slower on a CPU. Up to its end there are no periodic evaluations.
        opening_steps: see `opening`.
        frozen: arrays that the steps take as a fourth argument and never change, such as a network
            that only judges; None for none. As an argument they are no constants of the program,
            and no part of the checkpoints: `meta["frozen_sha256"]` may hold their hash.
        evaluate: (state, step, writer) -> scalars by name; may write images through the writer.
        meta: stored with the checkpoints, JSON values; "config" holds the configuration as nested
            dictionaries, which must stay the same as long as a workdir is used.
        defaults: of that configuration, for workdirs that are older than some of its keys.
    """

    name: str
    init: Callable[[Array], TrainState]
    step: Step
    opening: Step | None = None
    opening_steps: int = 0
    frozen: PyTree | None = None
    evaluate: Callable[[TrainState, int, MetricWriter], Mapping[str, Any]] | None = None
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)


Hook = Callable[[int, TrainState, dict[str, float]], None]


class RunKeywords(TypedDict, total=False):
    """What a stage's `train` may be called with besides its configuration; see `core.loop.run`.

    Attributes:
        time_limit_s: stop, save and evaluate after this many seconds.
        profile: "N:M" traces these steps, see `core.observe.Trace`.
        hooks: called at every log step.
    """

    time_limit_s: float | None
    profile: str
    hooks: Sequence[Hook]
