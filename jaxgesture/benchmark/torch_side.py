"""The PyTorch side: the twin of the base model, eager or through `torch.compile`; needs PyTorch.

Images are channels first, in memory either like that, as the released code has them, or with the
channels last. Low precision is autocast's; cuDNN may try its algorithms out, as XLA does.
"""

import atexit
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from jaxgesture.animation.losses import GLOBAL, LOCAL, LOCAL_PARTS
from jaxgesture.animation.step import DISCRIMINATOR
from jaxgesture.benchmark import cases
from jaxgesture.benchmark.cases import TRAIN, Case
from jaxgesture.benchmark.program import Program
from jaxgesture.benchmark.subject import Subject
from jaxgesture.core import tree
from jaxgesture.core.types import NumpyBatch
from jaxgesture.torch_baseline.discriminator import Discriminator
from jaxgesture.torch_baseline.network import AnimationNetwork
from jaxgesture.torch_baseline.step import StepConfig, TrainStep
from jaxgesture.torch_baseline.vgg import VGG, vgg16, vgg19
from jaxgesture.torch_baseline.weights import discriminator_state, feature_state

EAGER, COMPILED = "torch eager", "torch compiled"
CACHE = "TORCHINDUCTOR_CACHE_DIR"
LAYOUTS = {"channels_first": torch.contiguous_format, "channels_last": torch.channels_last}
Module = TypeVar("Module", bound=nn.Module)
DEVICES = {"cpu": "cpu", "gpu": "cuda"}  # JAX's platform -> PyTorch's device


def device_beside(platform: str) -> torch.device | None:
    """PyTorch's device where JAX runs on `platform`; None if PyTorch cannot run there."""
    name = DEVICES.get(platform)
    if name is None or (name == "cuda" and not torch.cuda.is_available()):
        return None
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """The device for people."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type}, {torch.get_num_threads()} threads"


def prepare_compiling(device: torch.device) -> str | None:
    """Tries `torch.compile` with an empty cache, which the process then keeps to its end.

    What other runs left in PyTorch's own cache would make compiling look faster than it is.

    Returns:
      why it does not work here, one line; None where it does.
    """
    if CACHE not in os.environ:
        os.environ[CACHE] = tempfile.mkdtemp(prefix="jaxgesture-inductor-")
        atexit.register(shutil.rmtree, os.environ[CACHE], ignore_errors=True)
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(8, device=device))
    except Exception as error:  # it raises whatever its tools raise
        lines = [line for line in str(error).splitlines() if line.strip()]
        return lines[0].strip() if lines else type(error).__name__
    return None


class TorchBase:
    """What the PyTorch sides of all benchmarks have in common.

    Args:
      device: where.
      compiled: through `torch.compile`.
    """

    def __init__(self, device: torch.device, compiled: bool):
        self.device, self.compiled = device, compiled
        self.name = COMPILED if compiled else EAGER

    def peak(self, precision: str) -> Callable[[int], Callable[[], Any]]:
        """For a side n, a program that multiplies two n x n matrices."""
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32

        def make(n: int) -> Callable[[], Any]:
            a, b = (torch.randn(n, n, dtype=dtype, device=self.device) for _ in range(2))

            def call() -> None:
                self._choose_products(precision)
                with torch.inference_mode():
                    torch.matmul(a, b)
                self._wait()

            return call

        return make

    def release(self) -> None:
        """Forgets compiled code, and gives cached memory back to whom needs it next."""
        if self.compiled:
            torch.compiler.reset()
        if self._on_gpu:
            torch.cuda.empty_cache()

    def _call(self, precision: str, run: Callable[[], Any]) -> Callable[[], Any]:
        """A call that waits for its results."""

        def call() -> Any:
            self._choose_products(precision)
            result = run()
            self._wait()
            return result

        return call

    def _first(self, call: Callable[[], Any]) -> tuple[Any, float | None]:
        """What the first call gives, and the seconds it took where it compiles."""
        start = time.perf_counter()
        result = call()
        return result, time.perf_counter() - start if self.compiled else None

    @property
    def _on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def _wait(self) -> None:
        if self._on_gpu:
            torch.cuda.synchronize(self.device)

    def _allocated(self) -> int:
        return torch.cuda.memory_allocated(self.device) if self._on_gpu else 0

    def _held(self, call: Callable[[], Any], before: int) -> int | None:
        if not self._on_gpu:
            return None
        torch.cuda.reset_peak_memory_stats(self.device)
        call()
        return torch.cuda.max_memory_allocated(self.device) - before

    def _choose_products(self, precision: str) -> None:
        """Whether an NVIDIA GPU may round what it multiplies to TF32."""
        tf32 = precision != "float32"
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = True

    @contextlib.contextmanager
    def _inferring(self, precision: str) -> Iterator[None]:
        """No gradients, and autocast in bfloat16."""
        low = precision == "bfloat16"
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            yield

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return torch.compile(function, dynamic=False) if self.compiled else function


class TorchSide(TorchBase):
    """Makes the programs of the PyTorch side.

    Args:
      subject: what is measured.
      device: where.
      compiled: through `torch.compile`.
      layout: of images and kernels in memory, of `LAYOUTS`.
    """

    def __init__(self, subject: Subject, device: torch.device, compiled: bool, layout: str):
        super().__init__(device, compiled)
        self.subject = subject
        self._layout = LAYOUTS[layout]

    def program(self, case: Case) -> Program:
        """Makes a case ready, runs it, and says what it needs."""
        before = self._allocated()
        run = self._train_step(case) if case.task == TRAIN else self._inference(case)
        call = self._call(case.precision, run)
        output, compile_s = self._first(call)
        return Program(call, _named(case.task, output), compile_s, self._held(call, before))

    def _images(self, count: int, seed: int) -> Tensor:
        size = self.subject.training.model.size
        return self._channels_first(cases.images(count, size, seed))

    def _channels_first(self, array: np.ndarray) -> Tensor:
        return self._tensor(array).permute(0, 3, 1, 2).contiguous(memory_format=self._layout)

    def _placed(self, network: Module) -> Module:
        return network.to(self.device).to(memory_format=self._layout)  # pyright: ignore[reportCallIssue]

    def _network(self) -> AnimationNetwork:
        network = AnimationNetwork(self.subject.training.model)
        state_dict = self.subject.animation.state_dict()
        network.load_state_dict({k: torch.from_numpy(v) for k, v in state_dict.items()})
        return self._placed(network)

    def _inference(self, case: Case) -> Callable[[], Any]:
        network = self._network().eval()
        if case.task == cases.ENCODE:
            function = network.encode_source
            arguments: tuple[Any, ...] = (self._images(case.batch, cases.SOURCE_SEED),)
        else:
            driving = self._images(case.batch, cases.DRIVING_SEED)
            if case.task == cases.EXTRACT:
                function, arguments = network.extract_motion, (driving,)
            else:
                assert case.task == cases.ANIMATE
                self._choose_products(case.precision)
                with self._inferring(case.precision):
                    source = network.encode_source(self._images(1, cases.SOURCE_SEED))
                    arguments = (source, network.extract_motion(driving))
                function = network.animate
        function = self._compiled(function)

        def run() -> Any:
            with self._inferring(case.precision):
                return function(*arguments)

        return run

    def _train_step(self, case: Case) -> Callable[[], Any]:
        training, optim = self.subject.training, self.subject.sections["optim"]
        step = TrainStep(
            self._network(),
            StepConfig(
                training.loss,
                learning_rate=optim.learning_rate,
                betas=(optim.b1, optim.b2),
                clip_norm=optim.clip_norm,
                ema_decay=optim.ema_decay,
                low_precision=case.precision == "bfloat16",
            ),
            discriminator=self._discriminator(),
            vgg19=self._features(GLOBAL, vgg19),
            vgg16=self._features(LOCAL, vgg16),
            compile=self.compiled,
        )
        batch = cases.training_batch(case.batch, training.model.size, training.loss.looks_closer)
        source, driving = (self._channels_first(batch[name]) for name in ("source", "driving"))
        boxes = self._tensor(batch["boxes"][:, LOCAL_PARTS]) if "boxes" in batch else None
        return lambda: step(source, driving, boxes)

    def _discriminator(self) -> Discriminator | None:
        """The discriminator before its first step, with the JAX side's weights."""
        network = self.subject.state.networks.get(DISCRIMINATOR)
        if network is None:
            return None
        sizes = self.subject.training.discriminator
        judge = Discriminator(sizes.widths, sizes.kernel, sizes.strides)
        judge.load_state_dict(discriminator_state(network.params, network.stats))
        return self._placed(judge)

    def _features(self, name: str, make: Callable[[], VGG]) -> VGG | None:
        """A network that judges, with the JAX side's weights."""
        params = (self.subject.frozen or {}).get(name)
        if params is None:
            return None
        network = make()
        network.load_features(feature_state(params))
        return self._placed(network)


def _named(task: str, output: Any) -> NumpyBatch:
    leaves = tree.flatten(output) if isinstance(output, tuple | dict) else {task: output}
    return {
        name: _plain(leaf)
        for name, leaf in leaves.items()
        if not name.startswith(cases.NOT_COMPARED)
    }


def _plain(value: Any) -> np.ndarray:
    value = torch.as_tensor(value).detach().float().cpu()
    return (value.permute(0, 2, 3, 1) if value.ndim == 4 else value).numpy()
