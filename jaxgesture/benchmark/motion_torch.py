"""The PyTorch side of the motion model's benchmark: the twin, eager or compiled; needs PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgesture.benchmark import motion_cases
from jaxgesture.benchmark.cases import TRAIN, Case
from jaxgesture.benchmark.motion_cases import DENOISE, GUIDANCE, GUIDED, SEGMENT, SPEECH
from jaxgesture.benchmark.motion_subject import MotionSubject
from jaxgesture.benchmark.program import Program
from jaxgesture.benchmark.torch_side import TorchBase
from jaxgesture.core.types import NumpyBatch
from jaxgesture.torch_baseline.denoiser import Denoiser, alphas_cumprod, ddim, guided
from jaxgesture.torch_baseline.motion_step import (
    MotionStep,
    MotionStepConfig,
    motion_losses,
    q_sample,
)

Run = Callable[[], Any]


class MotionTorchSide(TorchBase):
    """Makes the programs of the PyTorch side.

    Args:
      subject: what is measured.
      device: where, PyTorch's.
      compiled: through `torch.compile`.
      steps: of the sampler.
    """

    def __init__(self, subject: MotionSubject, device: Any, compiled: bool, steps: int):
        super().__init__(device, compiled)
        self.subject, self.steps = subject, steps

    def program(self, case: Case) -> Program:
        """Makes a case ready, runs it, and says what it needs."""
        before = self._allocated()
        if case.task == TRAIN:
            compared, run = self._losses(case), self._train_step(case)
        elif case.task in (SEGMENT, SPEECH):
            # Compared with the noise of the other side, timed with PyTorch's own.
            sample = self._sampling(case)
            compared, run = (lambda: sample(True)), (lambda: sample(False))
        else:
            compared = run = self._pass(case)
        call = self._call(case.precision, run)
        output, compile_s = self._first(self._call(case.precision, compared))
        if case.task == TRAIN:
            _, compile_s = self._first(call)
        return Program(call, self._plain(case.task, output), compile_s, self._held(call, before))

    def _network(self) -> Denoiser:
        network = Denoiser(self.subject.config)
        network.load_state_dict({k: self._tensor(v) for k, v in self.subject.state_dict.items()})
        return network.to(self.device)

    def _units(self, rows: int) -> dict[str, Any]:
        return {name: self._tensor(value) for name, value in self.subject.units(rows).items()}

    def _pass(self, case: Case) -> Run:
        network, units = self._network().eval(), self._units(case.batch)
        inputs = motion_cases.pass_inputs(self.subject.config, case.batch)
        x_t, t = self._tensor(inputs.x_t), self._tensor(inputs.t)
        audio, source, history = units["audio"], units["source"], units.get("history")

        def plain() -> Any:
            return network(x_t, t, audio=audio, source_feature=source, history=history)

        def both() -> Any:
            code = network.encode_audio(audio)
            predict = guided(network.denoise, code, source, history=history, weight=GUIDANCE)
            return predict(x_t, t)

        function = self._compiled({DENOISE: plain, GUIDED: both}[case.task])

        def run() -> Any:
            with self._inferring(case.precision):
                return function()

        return run

    def _sampling(self, case: Case) -> Callable[[bool], Any]:
        """Samples segments, each going on from the one before; as argument, with given noise."""
        config, long = self.subject.config, case.task == SPEECH
        network, units = self._network().eval(), self._units(case.batch)
        encode, denoise = self._compiled(network.encode_audio), self._compiled(network.denoise)
        source, audio = units["source"][:1], units["audio"]
        shape = units["motion"][:1]
        valid = self._tensor(np.ones(1, bool))
        past = config.history_frames

        def segment(number: int, history: Any, mask: Any, given: bool) -> Any:
            code = encode(audio[number : number + 1])
            predict = guided(
                denoise, code, source, history=history, history_mask=mask, weight=GUIDANCE
            )
            if not given:
                return ddim(predict, shape.new_empty(shape.shape).normal_(), steps=self.steps)
            drawn = motion_cases.segment_noise(config, number)

            def noise(step: int) -> Any:
                return self._tensor(drawn(step))

            return ddim(predict, noise(self.steps), steps=self.steps, noise=noise)

        def sample(given: bool) -> Any:
            made = []
            with self._inferring(case.precision):
                history = units["history"][:1] if past else None
                for number in range(case.batch):
                    # Of a recording, nothing goes before the first segment.
                    mask = None if not past else valid if number or not long else ~valid
                    made.append(segment(number, history, mask, given))
                    history = made[-1][:, -past:] if past else None
            return made

        return sample

    def _losses(self, case: Case) -> Run:
        """The losses before the first step, without dropout and with given noise."""
        network, units = self._network().eval(), self._units(case.batch)
        inputs = motion_cases.pass_inputs(self.subject.config, case.batch)
        t, noise, keep = (self._tensor(x) for x in (inputs.t, inputs.noise, inputs.keep))
        abar, loss = alphas_cumprod().to(self.device), self.subject.sections["loss"]
        given = {"history": units.get("history"), "history_mask": units.get("history_valid")}
        noised = q_sample(units["motion"], t.long(), noise, abar)

        def predict() -> Any:
            return network(
                noised, t, audio=units["audio"], source_feature=units["source"], keep=keep, **given
            )

        function = self._compiled(predict)

        def run() -> Any:
            with self._inferring(case.precision):
                return motion_losses(function(), units["motion"], loss, **given)

        return run

    def _train_step(self, case: Case) -> Run:
        optim = self.subject.sections["optim"]
        step = MotionStep(
            self._network(),
            MotionStepConfig(
                self.subject.sections["loss"],
                learning_rate=optim.learning_rate,
                betas=(optim.b1, optim.b2, optim.b3),
                weight_decay=optim.weight_decay,
                clip_norm=optim.clip_norm,
                ema_decay=optim.ema_decay,
                low_precision=case.precision == "bfloat16",
            ),
            compile=self.compiled,
        )
        batch = self._units(case.batch)
        return lambda: step(batch)

    def _plain(self, task: str, output: Any) -> NumpyBatch:
        """The arrays that the sides compare, by name, as the other side has them."""

        def array(value: Any) -> np.ndarray:
            return value.detach().float().cpu().numpy()

        if isinstance(output, dict):
            return {name: array(value) for name, value in output.items()}
        if task == SEGMENT:
            return {task: self.subject.features(array(output[0]))}
        if task == SPEECH:
            rows = np.concatenate([array(one)[0] for one in output])
            return {task: self.subject.features(rows)}
        return {task: array(output)}
