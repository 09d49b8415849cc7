"""The training loop: the only place that compiles a training step.

A run is a pure function of its configuration: step k gets batch k and the key
`step_key(key(seed), k)`, so stopping and resuming changes nothing. The same command with the same
workdir resumes; the position in the data is the step.
"""

import dataclasses
import math
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array
from tqdm import tqdm

from jaxgesture.core import meta, rng, sharding, tree
from jaxgesture.core.checkpoint import CheckpointConfig, Checkpoints
from jaxgesture.core.errors import UserError
from jaxgesture.core.feed import Feed
from jaxgesture.core.interrupt import StopRequests
from jaxgesture.core.metrics import FILE, MetricWriter, read_scalars
from jaxgesture.core.state import TrainState, abstract, initialize
from jaxgesture.core.types import Batch, Metrics, NumpyBatch

# What may change between two runs in one workdir without making it another training.
FREE = ("train.steps", "train.log_every", "train.eval_every", "checkpoint", "eval", "mesh")
# Steps in flight: enough to hide the host, few enough not to pile up batches on the devices.
IN_FLIGHT = 2


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


Step = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]


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
        evaluate: (state, step, writer) -> scalars by name; may write images through the writer.
        meta: stored with the checkpoints, JSON values; "config" holds the configuration as nested
            dictionaries, which must stay the same as long as a workdir is used.
    """

    name: str
    init: Callable[[Array], TrainState]
    step: Step
    opening: Step | None = None
    opening_steps: int = 0
    evaluate: Callable[[TrainState, int, MetricWriter], Mapping[str, Any]] | None = None
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)


Hook = Callable[[int, TrainState, dict[str, float]], None]


def run(
    stage: Stage,
    batches: Callable[[int], Iterator[NumpyBatch]],
    workdir: str | os.PathLike[str],
    train: TrainConfig,
    checkpoint: CheckpointConfig,
    mesh: sharding.MeshConfig,
    rules: Sequence[sharding.Rule] = (),
    time_limit_s: float | None = None,
    *,
    hooks: Sequence[Hook] = (),
    free: Sequence[str] = FREE,
) -> TrainState:
    """Trains until `train.steps`, from the newest checkpoint of the workdir if it has one.

    Args:
        stage: the model.
        batches: gives the iterator that starts at a batch index; each item is this process's rows
            of the global batch. It is advanced in a thread.
        workdir: gets `checkpoints/`, `metrics.jsonl`, `tensorboard/` and `images/`.
        train: length and cadence.
        checkpoint: when to save; the last step is always saved.
        mesh: shape of the device mesh.
        rules: where single leaves of the state live (`sharding.state_shardings`).
        time_limit_s: stop, save and evaluate after this many seconds.
        hooks: called with (step, state, mean metrics) at every log step; they must not keep the
            state, whose buffers the next step takes over.
        free: sections or keys of `stage.meta["config"]` that may differ from the stored ones.

    Returns:
        The state after the last step.

    Raises:
        UserError: if the workdir belongs to another configuration, if the devices divide neither
            the mesh nor the batch, if the data ends, or at a loss that is not finite (no
            checkpoint is written then; the last good one stays).
        SystemExit: after SIGTERM (status 0) or Ctrl-C (status 130), once the state is saved.
    """
    start_time = time.monotonic()
    folder = pathlib.Path(workdir).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; give a folder as --workdir")
    device_mesh = sharding.make_mesh(mesh)
    key = jax.random.key(train.seed)
    with Checkpoints(folder, checkpoint) as checkpoints:
        stored = checkpoints.meta()
        if stored is not None:
            meta.check(stored, stage.name, stage.meta, folder, free)
        init_key = rng.stream(key, "init")
        if checkpoints.latest() is None:
            state = initialize(stage.init, init_key, device_mesh, rules)
        else:
            shapes = abstract(stage.init, init_key)
            target = sharding.with_shardings(
                shapes, sharding.state_shardings(shapes, device_mesh, rules)
            )
            state = checkpoints.restore(target)[0]
        step = int(state.step)
        with MetricWriter(folder, step) as writer:
            runner = _Run(stage, state, step, key, train, checkpoints, writer, device_mesh)
            runner.say(
                f"{stage.name}: {'resuming at' if step else 'starting at'} step {step} of "
                f"{train.steps}, {_describe(state)}, on {_describe_mesh(device_mesh)}"
            )
            if step >= train.steps:
                runner.say(f"nothing to do: {folder} has {step} of {train.steps} steps")
                if not runner.evaluated():
                    runner.evaluate()
                return state
            deadline = math.inf if time_limit_s is None else start_time + time_limit_s
            with StopRequests() as stop, Feed(batches(step), device_mesh) as feed:
                return runner.train(feed, rules, stop, deadline, hooks)


class _Run:
    """One call of `run`: the state and what is around it."""

    def __init__(
        self,
        stage: Stage,
        state: TrainState,
        step: int,
        key: Array,
        train: TrainConfig,
        checkpoints: Checkpoints,
        writer: MetricWriter,
        mesh: Mesh,
    ):
        self.stage, self.state, self.step, self.key = stage, state, step, key
        self.config, self.checkpoints, self.writer, self.mesh = train, checkpoints, writer, mesh
        self.window: list[tuple[int, Metrics]] = []
        self.means: dict[str, float] = {}

    def say(self, text: str) -> None:
        if jax.process_index() == 0:
            tqdm.write(text, file=sys.stderr)

    def train(
        self,
        feed: Feed,
        rules: Sequence[sharding.Rule],
        stop: StopRequests,
        deadline: float,
        hooks: Sequence[Hook],
    ) -> TrainState:
        config = self.config
        batch = self._next(feed)
        examples = next(iter(batch.values())).shape[0]
        compiled = self._compile(batch, rules)
        boundary = self.stage.opening_steps if self.stage.opening else 0
        bar = _bar(self.step, config.steps, self.stage.name)
        feed.waited, since, last = 0.0, time.monotonic(), self.step
        reason = ""
        with bar:
            while not reason:
                self.state, metrics = compiled(self.state, batch, self.key)
                self.step += 1
                bar.update(1)
                self._record(metrics)
                logs = self.step % config.log_every == 0
                done = self.step >= config.steps
                reason = "done" if done else self._reason(stop, deadline, logs)
                if logs or reason:
                    self._fetch()
                    seconds = time.monotonic() - since
                    self._log(examples * (self.step - last) / seconds, feed.waited / seconds, bar)
                    for hook in hooks:
                        hook(self.step, self.state, self.means)
                    feed.waited, since, last = 0.0, time.monotonic(), self.step
                before = time.monotonic()
                if reason or self.checkpoints.due(self.step):
                    self.save(force=bool(reason))
                if not reason and self._evaluation_due(boundary):
                    self.evaluate()
                # Saving and evaluating say nothing about the speed of training.
                since += time.monotonic() - before
                if not reason:
                    batch = self._next(feed)
                    if self.step == boundary:
                        before = time.monotonic()
                        compiled = self._compile(batch, rules)
                        since += time.monotonic() - before
        self._finish(reason)
        return self.state

    def _evaluation_due(self, boundary: int) -> bool:
        every = self.config.eval_every
        return every > 0 and self.step % every == 0 and self.step > boundary

    def _next(self, feed: Feed) -> dict[str, Array]:
        try:
            return next(feed)
        except StopIteration:
            raise UserError(
                f"the data ends before step {self.step + 1} of {self.config.steps}; "
                "it must repeat (is the training split empty?)"
            ) from None

    def _compile(self, batch: dict[str, Array], rules: Sequence[sharding.Rule]):
        """Compiles the step for exactly these shapes; another batch shape is an error."""
        opens = self.stage.opening is not None and self.step < self.stage.opening_steps
        shardings = sharding.state_shardings(self.state, self.mesh, rules)
        everywhere = sharding.replicated(self.mesh)
        self.key = jax.device_put(self.key, everywhere)

        if opens:
            # A mistake in the other step should not wait for the end of the opening.
            jax.eval_shape(_counted(self.stage.step), self.state, batch, self.key)
        function = self.stage.opening if opens else self.stage.step
        assert function is not None
        jitted = jax.jit(
            _counted(function),
            in_shardings=(shardings, sharding.batch_sharding(self.mesh), everywhere),
            out_shardings=(shardings, everywhere),
            donate_argnums=0,
        )
        start = time.monotonic()
        compiled = jitted.lower(self.state, batch, self.key).compile()
        what = (
            f"the step of the opening ({self.stage.opening_steps} steps)" if opens else "the step"
        )
        self.say(f"{self.stage.name}: compiled {what} in {time.monotonic() - start:.1f} s")
        return compiled

    def _record(self, metrics: Metrics) -> None:
        self.window.append((self.step, metrics))
        if len(self.window) > IN_FLIGHT:
            jax.block_until_ready(self.window[-1 - IN_FLIGHT][1])

    def _fetch(self) -> None:
        """Brings the window's metrics to the host.

        Raises:
            UserError: naming the first step with a value that is not finite.
        """
        values = jax.device_get([metrics for _, metrics in self.window])
        steps = [step for step, _ in self.window]
        for step, metrics in zip(steps, values, strict=True):
            bad = {name: float(v) for name, v in metrics.items() if not np.isfinite(v)}
            if bad:
                self._stop_bad(step, ", ".join(f"{name} is {v}" for name, v in bad.items()))
        self.window = list(zip(steps, values, strict=True))

    def _log(self, speed: float, waited: float, bar: tqdm) -> None:
        """Writes the means over the window, which is then empty."""
        # A window over the end of the opening holds metrics of both kinds.
        names = dict.fromkeys(name for _, metrics in self.window for name in metrics)
        self.means = {
            name: float(np.mean([m[name] for _, m in self.window if name in m], dtype=np.float64))
            for name in names
        }
        self.window = []
        extra = {"examples_per_second": speed, "data_wait": waited}
        self.writer.scalars(self.step, {**self.means, **extra}, prefix="train/")
        shown = {"loss": f"{self.means['loss']:.4g}"} if "loss" in self.means else {}
        bar.set_postfix(
            {**shown, "examples/s": f"{speed:.3g}", "data wait": f"{waited:.0%}"}, refresh=False
        )

    def save(self, force: bool = False) -> None:
        """Saves the state if it is sound."""
        self._fetch()
        if not bool(_all_finite(self.state.networks)):
            bad = [
                name
                for name, leaf in tree.flatten(self.state.networks).items()
                if not bool(_all_finite(leaf))
            ]
            self._stop_bad(self.step, f"{bad[0]} holds values that are not finite")
        data = {"batch": self.step, "process_count": jax.process_count()}
        about = meta.make(self.stage.name, self.stage.meta)
        self.checkpoints.save(self.step, self.state, data, about, force=force)

    def _stop_bad(self, step: int, what: str) -> None:
        self.checkpoints.wait()
        latest = self.checkpoints.latest()
        kept = "there is no checkpoint yet" if latest is None else f"checkpoint {latest} is good"
        raise UserError(
            f"{what} at step {step} of {self.stage.name}; nothing was saved since ({kept}); "
            "lower optim.learning_rate, set optim.clip_norm, or look at the data of that step"
        )

    def _reason(self, stop: StopRequests, deadline: float, logs: bool) -> str:
        """Returns why to stop now, or ""; every process gets the same answer."""
        late = time.monotonic() >= deadline
        if jax.process_count() > 1:
            if self.checkpoints.reached_preemption(self.step):
                return "SIGTERM"
            if not logs:
                return ""
            from jax.experimental import multihost_utils

            flags = np.array([stop.requested is not None, late])
            interrupted, late = np.any(
                np.reshape(multihost_utils.process_allgather(flags), (-1, 2)), axis=0
            )
            return "SIGINT" if interrupted else "time limit" if late else ""
        if stop.requested is not None:
            return stop.requested.name
        return "time limit" if late else ""

    def _finish(self, reason: str) -> None:
        resumes = f"saved step {self.step} of {self.config.steps}; the same command resumes"
        if reason in ("SIGTERM", "SIGINT"):
            self.checkpoints.wait()
            self.say(f"{self.stage.name}: stopped by {reason}; {resumes}")
            raise SystemExit(0 if reason == "SIGTERM" else 130)
        self.evaluate()
        self.checkpoints.wait()
        if reason == "time limit":
            self.say(f"{self.stage.name}: stopped at the time limit; {resumes}")

    def evaluate(self) -> None:
        if self.stage.evaluate is not None:
            values = self.stage.evaluate(self.state, self.step, self.writer)
            self.writer.scalars(self.step, values, prefix="eval/")

    def evaluated(self) -> bool:
        """Returns whether this step's evaluation is among the metrics already."""
        if not (self.writer.workdir / FILE).exists():
            return False
        lines = [line for line in read_scalars(self.writer.workdir) if line["step"] == self.step]
        return any(name.startswith("eval/") for line in lines for name in line)


def _counted(function: Step) -> Step:
    """The step as it is compiled: with this step's key and the count of steps."""

    def step(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        new, metrics = function(state, batch, rng.step_key(key, state.step))
        for name, value in metrics.items():
            if jnp.ndim(value):
                raise ValueError(f"metric {name!r} has shape {jnp.shape(value)}, not ()")
        return new.replace(step=state.step + 1), metrics  # pyright: ignore

    return step


@jax.jit
def _all_finite(values: Any) -> Array:
    floats = [x for x in jax.tree.leaves(values) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in floats], bool))


def _describe(state: TrainState) -> str:
    counts = {name: tree.count(network.params) for name, network in state.networks.items()}
    return ", ".join(f"{name} {tree.format_count(n)} parameters" for name, n in counts.items())


def _describe_mesh(mesh: Mesh) -> str:
    kind = mesh.devices.flat[0].device_kind
    return f"{mesh.size} x {kind} (data {mesh.shape['data']}, fsdp {mesh.shape['fsdp']})"


def _bar(initial: int, total: int, name: str) -> tqdm:
    # In a log file every refresh is a line that stays.
    in_terminal = sys.stderr.isatty()
    return tqdm(
        initial=initial,
        total=total,
        desc=name,
        unit="step",
        mininterval=0.5 if in_terminal else 60.0,
        maxinterval=10.0 if in_terminal else 600.0,
        dynamic_ncols=in_terminal,
        disable=jax.process_index() != 0,
    )
