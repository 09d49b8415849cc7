"""One run of the training loop: the only place that compiles a training step."""

import contextlib
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array
from tqdm import tqdm

from jaxgesture.core import distributed, meta, rng, sharding, tree
from jaxgesture.core.checkpoint import Checkpoints
from jaxgesture.core.errors import UserError
from jaxgesture.core.feed import Feed
from jaxgesture.core.interrupt import StopRequests
from jaxgesture.core.metrics import FILE, MetricWriter, read_scalars
from jaxgesture.core.observe import Speed, Trace, gathered, lagging
from jaxgesture.core.stage import Hook, Stage, Step, TrainConfig
from jaxgesture.core.state import TrainState
from jaxgesture.core.types import Batch, Metrics, PyTree, Weighted

# Steps in flight: enough to hide the host, few enough not to pile up batches on the devices.
IN_FLIGHT = 2


class Runner:
    """One call of `loop.run`: the state and what is around it."""

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
        self.stage, self.state, self.step = stage, state, step
        self.config, self.checkpoints, self.writer, self.mesh = train, checkpoints, writer, mesh
        self.fixed: tuple[Any, ...] = (key,)
        self.window: list[tuple[int, Metrics]] = []
        self.means: dict[str, float] = {}
        self.blocked = 0.0
        self.speed = Speed(mesh, 0)

    def say(self, text: str) -> None:
        """Prints a line above the progress bar, in the first process."""
        if jax.process_index() == 0:
            tqdm.write(text, file=sys.stderr)

    def train(
        self,
        feed: Feed,
        rules: Sequence[sharding.Rule],
        stop: StopRequests,
        deadline: float,
        hooks: Sequence[Hook],
        trace: Trace,
    ) -> TrainState:
        """Steps until the last one, a request to stop or the deadline; returns the last state."""
        config = self.config
        batch = self._next(feed)
        self.speed = Speed(self.mesh, next(iter(batch.values())).shape[0])
        self._place()
        compiled = self._compile(batch, rules)
        boundary = self.stage.opening_steps if self.stage.opening else 0
        bar = _bar(self.step, config.steps, self.stage.name)
        feed.waited = self.blocked = 0.0
        since, last = time.monotonic(), self.step
        reason = ""
        with bar, contextlib.closing(trace):
            while not reason:
                trace.before(self.step + 1)
                with self._blocking():
                    self.state, metrics = compiled(self.state, batch, *self.fixed)
                self.step += 1
                bar.update(1)
                self._record(metrics)
                if traced := trace.after(self.step, metrics):
                    self.say(f"{self.stage.name}: {traced}")
                logs = self.step % config.log_every == 0
                done = self.step >= config.steps
                reason = "done" if done else self._reason(stop, deadline, logs)
                if logs or reason:
                    self._fetch()
                    self._log(self.step - last, time.monotonic() - since, feed.waited, bar)
                    for hook in hooks:
                        hook(self.step, self.state, self.means)
                    feed.waited = self.blocked = 0.0
                    since, last = time.monotonic(), self.step
                saves = self.checkpoints.due(self.step) or bool(reason)
                judges = not reason and self._evaluation_due(boundary)
                if saves or judges:
                    self._fetch()  # the time of steps in flight is one of training
                before = time.monotonic()
                if saves:
                    self.save(force=bool(reason))
                if judges:
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

    def _place(self) -> None:
        """Puts what no step changes, the key and the frozen arrays, on all devices."""
        frozen = () if self.stage.frozen is None else (self.stage.frozen,)
        # By a program: `device_put` refuses the devices of other processes.
        place = jax.jit(lambda values: values, out_shardings=sharding.replicated(self.mesh))
        self.fixed = place((self.fixed[0], *frozen))

    def _compile(self, batch: dict[str, Array], rules: Sequence[sharding.Rule]):
        """Compiles the step for exactly these shapes; another batch shape is an error."""
        opens = self.stage.opening is not None and self.step < self.stage.opening_steps
        shardings = sharding.state_shardings(self.state, self.mesh, rules)
        everywhere = sharding.replicated(self.mesh)
        if opens:
            # A mistake in the other step should not wait for the end of the opening.
            jax.eval_shape(_counted(self.stage.step), self.state, batch, *self.fixed)
        function = self.stage.opening if opens else self.stage.step
        assert function is not None
        jitted = jax.jit(
            _counted(function),
            in_shardings=(
                shardings,
                sharding.batch_sharding(self.mesh),
                *(everywhere for _ in self.fixed),
            ),  # fmt: skip
            out_shardings=(shardings, everywhere),
            donate_argnums=0,
        )
        start = time.monotonic()
        with sharding.within(self.mesh):
            compiled = jitted.lower(self.state, batch, *self.fixed).compile()
        seconds = time.monotonic() - start
        distributed.meet()
        what = (
            f"the step of the opening ({self.stage.opening_steps} steps)" if opens else "the step"
        )
        self.say(f"{self.stage.name}: compiled {what} in {seconds:.1f} s")
        self.speed.compiled(compiled)
        return compiled

    @contextlib.contextmanager
    def _blocking(self):
        """Counts the time in which this host waits for its devices."""
        before = time.monotonic()
        yield
        self.blocked += time.monotonic() - before

    def _record(self, metrics: Metrics) -> None:
        self.window.append((self.step, metrics))
        if len(self.window) > IN_FLIGHT:
            with self._blocking():
                jax.block_until_ready(self.window[-1 - IN_FLIGHT][1])

    def _fetch(self) -> None:
        """Brings the window's metrics to the host.

        Raises:
            UserError: naming the first step with a value that is not finite.
        """
        with self._blocking():
            values = jax.device_get([metrics for _, metrics in self.window])
        steps = [step for step, _ in self.window]
        for step, metrics in zip(steps, values, strict=True):
            totals = {name: _total_and_weight(value)[0] for name, value in metrics.items()}
            bad = {name: float(total) for name, total in totals.items() if not np.isfinite(total)}
            if bad:
                self._stop_bad(step, ", ".join(f"{name} is {v}" for name, v in bad.items()))
        self.window = list(zip(steps, values, strict=True))

    def _log(self, steps: int, seconds: float, waited: float, bar: tqdm) -> None:
        """Writes the means over the window, which is then empty, and the speed of its steps."""
        # A window over the end of the opening holds metrics of both kinds.
        names = dict.fromkeys(name for _, metrics in self.window for name in metrics)
        self.means = {}
        for name in names:
            rows = [_total_and_weight(m[name]) for _, m in self.window if name in m]
            total, weight = np.sum(np.asarray(rows, np.float64), axis=0)
            if weight > 0:
                self.means[name] = float(total / weight)
        self.window = []
        speed = self.speed.values(steps, seconds, waited)
        if jax.process_count() > 1:
            worked = max(0.0, seconds - waited - self.blocked) / seconds
            waits = gathered(speed["data_wait"], worked)
            speed["data_wait_most"] = float(waits[:, 0].max())
            if line := lagging(waits):
                self.say(f"{self.stage.name}: step {self.step}: {line}")
        trained = {f"train/{name}": value for name, value in self.means.items()}
        self.writer.scalars(self.step, trained | {f"speed/{n}": v for n, v in speed.items()})
        shown = {"loss": f"{self.means['loss']:.4g}"} if "loss" in self.means else {}
        shown["examples/s"] = f"{speed['examples_per_second']:.3g}"
        shown["data wait"] = f"{speed['data_wait']:.0%}"
        if "share_of_peak" in speed:
            shown["of peak"] = f"{speed['share_of_peak']:.0%}"
        bar.set_postfix(shown, refresh=False)

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
        self.checkpoints.settle()
        latest = self.checkpoints.latest()
        kept = "there is no checkpoint yet" if latest is None else f"checkpoint {latest} is good"
        raise UserError(
            f"{what} at step {step} of {self.stage.name}; nothing was saved since ({kept}); "
            "lower optim.learning_rate, set optim.clip_norm, or look at the data of that step"
        )

    def _reason(self, stop: StopRequests, deadline: float, logs: bool) -> str:
        """Returns why to stop now, or ""; every process gets the same answer."""
        distributed.passed(self.step)
        late = time.monotonic() >= deadline
        if jax.process_count() > 1:
            if self.checkpoints.reached_preemption(self.step):
                return "SIGTERM"
            if not logs:
                return ""
            from jax.experimental import multihost_utils

            # Two programs at once that both wait for the other process can wait for ever on a CPU.
            jax.block_until_ready(self.state)
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
        """Evaluates the state, writes what it scores, and saves it if it is the best so far."""
        if self.stage.evaluate is not None:
            values = self.stage.evaluate(self.state, self.step, self.writer)
            self.writer.scalars(self.step, values, prefix="eval/")
            try:
                improves = self.checkpoints.improves(values)
            except UserError:  # a metric that there is not: what was trained is not to be lost
                self.save(force=True)
                self.checkpoints.wait()
                self.checkpoints.score(self.step, values)
                raise
            if improves:
                self.save(force=True)
            self.checkpoints.score(self.step, values)

    def evaluated(self) -> bool:
        """Returns whether this step's evaluation is among the metrics already."""
        if not (self.writer.workdir / FILE).exists():
            return False
        lines = [line for line in read_scalars(self.writer.workdir) if line["step"] == self.step]
        return any(name.startswith("eval/") for line in lines for name in line)


def _total_and_weight(value: Any) -> tuple[Any, Any]:
    return (value.total, value.weight) if isinstance(value, Weighted) else (value, 1.0)


def _counted(function: Step) -> Step:
    """The step as it is compiled: with this step's key and the count of steps."""

    def step(
        state: TrainState, batch: Batch, key: Array, *frozen: PyTree
    ) -> tuple[TrainState, Metrics]:
        new, metrics = function(state, batch, rng.step_key(key, state.step), *frozen)
        for name, value in metrics.items():
            for part in jax.tree.leaves(value):
                if jnp.ndim(part):
                    raise ValueError(f"metric {name!r} has shape {jnp.shape(part)}, not ()")
        return new.replace(step=state.step + 1), metrics  # pyright: ignore

    return step


@jax.jit
def _all_finite(values: Any) -> Array:
    floats = [x for x in jax.tree.leaves(values) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in floats], bool))


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
