"""The JAX side of the motion model's benchmark: what generation and training call."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.benchmark import motion_cases
from jaxgesture.benchmark.cases import TRAIN, Case
from jaxgesture.benchmark.jax_side import JaxBase, compile_anew, described, named
from jaxgesture.benchmark.motion_cases import DENOISE, GUIDANCE, GUIDED, SEGMENT, SPEECH
from jaxgesture.benchmark.motion_subject import MotionSubject
from jaxgesture.benchmark.program import Program
from jaxgesture.core.optim import make_optimizer
from jaxgesture.core.types import Array, NumpyBatch
from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.denoiser import AudioCode, Denoiser
from jaxgesture.motion.generate import SampleOptions, sample_segment
from jaxgesture.motion.guidance import double, guided
from jaxgesture.motion.losses import mean_losses
from jaxgesture.motion.model import Motion
from jaxgesture.motion.step import compare, make_step, predict


class MotionJaxSide(JaxBase):
    """Makes the programs of the JAX side.

    Args:
      subject: what is measured.
      steps: of the sampler.
    """

    def __init__(self, subject: MotionSubject, steps: int):
        super().__init__()
        self.subject, self.steps = subject, steps

    def program(self, case: Case) -> Program:
        """Compiles a case, runs it once, and says what it needs."""
        with self.products(case.precision):
            if case.task == TRAIN:
                return self._train_step(case)
            if case.task == SPEECH:
                return self._speech(case)
            make = {DENOISE: self._denoise, GUIDED: self._guided, SEGMENT: self._segment}
            return make[case.task](case)

    def _denoise(self, case: Case) -> Program:
        config = self.subject.config_in(case.precision)
        batch, inputs = self._inputs(config, case.batch)

        def run(variables, x_t, t, batch):
            return Motion(config, variables).denoise(
                x_t, t, audio=batch["audio"], source_feature=batch["source"],
                history=batch.get("history"),
            )  # fmt: skip

        return self._compiled(case, run, (inputs.x_t, inputs.t, batch))

    def _guided(self, case: Case) -> Program:
        config = self.subject.config_in(case.precision)
        inputs = motion_cases.pass_inputs(config, case.batch)
        return self._compiled(
            case, _guided_pass(config), (inputs.x_t, inputs.t, self.subject.units(case.batch))
        )

    def _segment(self, case: Case) -> Program:
        lower, arguments = self._sampling(case.precision)
        lowered, compiled, compile_s = compile_anew(lower)

        def call() -> Any:
            return jax.block_until_ready(compiled(*arguments))

        output = named(case.task, call())
        program = described(lowered, compiled, compile_s, call, output)
        program.flops = self._flops(program.flops, case.precision)
        return program

    def _sampling(self, precision: str) -> tuple[Callable[[], Any], tuple[Any, ...]]:
        """What lowers `sample_segment`, and its arguments that are not static."""
        config = self.subject.config_in(precision, project=False)
        options = SampleOptions(candidates=1, steps=self.steps)
        batch, _ = self._inputs(config, 1)
        variables = jax.device_put(self.subject.variables)
        arguments = jax.device_put(
            (
                variables["params"], variables["stats"], batch["audio"], batch["source"],
                batch["previous"], np.zeros(1, bool), motion_cases.segment_key(0)[None],
                np.float32(GUIDANCE),
            )
        )  # fmt: skip
        return lambda: sample_segment.lower(config, options, *arguments), arguments

    def _speech(self, case: Case) -> Program:
        """A recording as the package samples it, with the program that samples a segment."""
        config = self.subject.config_in(case.precision, project=False)
        motion = Motion(config, jax.device_put(self.subject.variables))
        batch, _ = self._inputs(config, case.batch)
        audio = np.concatenate(batch["audio"])

        def call() -> np.ndarray:
            # Compiled when it is first called, under whatever precision holds then.
            with self.products(case.precision):
                return motion.sample(
                    audio, source_feature=batch["source"][0], seed=motion_cases.SEED,
                    candidates=1, steps=self.steps, guidance=GUIDANCE,
                )  # fmt: skip

        lowered, _ = self._sampling(case.precision)
        flops = self._flops((lowered().cost_analysis() or {}).get("flops"), case.precision)
        return Program(
            call, named(case.task, call()),
            flops=None if flops is None else case.batch * flops,
        )  # fmt: skip

    def _flops(self, counted: float | None, precision: str) -> float | None:
        """Of sampling a segment: XLA counts the body of a loop once, whatever its length.

        All but the audio encoder, and what does not matter beside it, is in the loop.
        """
        config = self.subject.config_in(precision)

        def encode(variables, audio):
            params = {"params": variables["params"]}
            return Denoiser(config).apply(params, audio, method="encode_audio")

        audio = self.subject.units(1)["audio"]
        costs = jax.jit(encode).lower(self.subject.variables, audio).cost_analysis() or {}
        once = costs.get("flops")
        if counted is None or once is None:
            return None
        return once + self.steps * (counted - once)

    def _train_step(self, case: Case) -> Program:
        config, built = self.subject.config_in(case.precision), self.subject.sections
        optim, loss = built["optim"], built["loss"]
        step = make_step(
            config, loss, make_optimizer(optim, built["train"].steps),
            ema_decay=optim.ema_decay or None, ema_warmup=optim.ema_warmup,
        )  # fmt: skip
        batch, inputs = self._inputs(config, case.batch)
        del batch["previous"]
        batch, key = jax.device_put((batch, jax.random.key(motion_cases.SEED)))
        held = [jax.device_put(self.subject.state)]
        compiling = jax.jit(step, donate_argnums=0)
        lowered, compiled, compile_s = compile_anew(lambda: compiling.lower(held[0], batch, key))

        def losses(variables, units, inputs):
            mask = units.get("history_valid")
            prediction = predict(
                config, variables["params"], units, inputs.t, inputs.noise, keep=inputs.keep,
                history_mask=mask,
            )  # fmt: skip
            return mean_losses(compare(prediction, units, mask), loss)

        output = jax.jit(losses)(self.subject.variables, self.subject.units(case.batch), inputs)

        def call() -> Any:
            held[0], metrics = compiled(held[0], batch, key)  # the state goes from step to step
            return jax.block_until_ready((held[0], metrics))[1]

        call()
        return described(lowered, compiled, compile_s, call, named(case.task, output))

    def _inputs(
        self, config: MotionConfig, rows: int
    ) -> tuple[NumpyBatch, motion_cases.PassInputs]:
        return motion_cases.features(config, rows), motion_cases.pass_inputs(config, rows)

    def _compiled(self, case: Case, run: Callable[..., Any], given: tuple[Any, ...]) -> Program:
        arguments = jax.device_put((self.subject.variables, *given))
        function = jax.jit(run)
        lowered, compiled, compile_s = compile_anew(lambda: function.lower(*arguments))

        def call() -> Any:
            return jax.block_until_ready(compiled(*arguments))

        return described(lowered, compiled, compile_s, call, named(case.task, call()))


def _guided_pass(config: MotionConfig) -> Callable[..., Array]:
    """A step of the sampler: the audio encoded once, then both branches in one batch."""

    def run(variables, x_t, t, units):
        params = {"params": variables["params"]}
        code: AudioCode = Denoiser(config).apply(
            params, jnp.asarray(units["audio"]), method="encode_audio"
        )  # pyright: ignore
        both = {"source_feature": units["source"]}
        if config.history_frames:
            both["history"] = units["history"]
        code, both = double((code, both))

        def branches(x_t, t, keep) -> Array:
            return Denoiser(config).apply(params, x_t, t, audio=code, **both, keep=keep)  # pyright: ignore

        return guided(branches, x_t, t, GUIDANCE)

    return run
