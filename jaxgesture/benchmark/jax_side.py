"""The JAX side: the functions that generation and training call, compiled ahead of time."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.animation import model
from jaxgesture.animation.config import AnimationConfig
from jaxgesture.animation.step import make_step
from jaxgesture.benchmark import cases
from jaxgesture.benchmark.cases import TRAIN, Case
from jaxgesture.benchmark.program import Program
from jaxgesture.benchmark.subject import Subject
from jaxgesture.core import tree
from jaxgesture.core.types import NumpyBatch, PyTree

NAME = "JAX"
# Of float32 products. Left alone, JAX lets an NVIDIA GPU use TF32.
PRODUCTS = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "tensorfloat32"}


class JaxBase:
    """What the JAX sides of all benchmarks have in common."""

    name = NAME

    def __init__(self):
        self.platform: str = jax.devices()[0].platform

    def peak(self, precision: str) -> Callable[[int], Callable[[], Any]]:
        """For a side n, a program that multiplies two n x n matrices."""
        dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32

        def make(n: int) -> Callable[[], Any]:
            keys = jax.random.split(jax.random.key(0))
            a, b = (jax.random.normal(key, (n, n), dtype) for key in keys)
            with self.products(precision):
                product = jax.jit(jnp.matmul).lower(a, b).compile()
            return lambda: jax.block_until_ready(product(a, b))

        return make

    def release(self) -> None:
        """Nothing is held between cases."""

    def products(self, precision: str) -> contextlib.AbstractContextManager[Any]:
        """A context in which float32 products have a precision."""
        if self.platform == "cpu":
            return contextlib.nullcontext()
        return jax.default_matmul_precision(PRODUCTS[precision])


class JaxSide(JaxBase):
    """Makes the programs of the JAX side.

    Args:
      subject: what is measured.
    """

    def __init__(self, subject: Subject):
        super().__init__()
        self.subject = subject

    def program(self, case: Case) -> Program:
        """Compiles a case, runs it once, and says what it needs."""
        with self.products(case.precision):
            if case.task == TRAIN:
                return self._train_step(case)
            variables = jax.device_put(self.subject.variables)
            function, given = self._inference(case, variables)
            arguments = jax.device_put(given)
            sizes = self._sizes(case.precision)
            lowered, compiled, compile_s = compile_anew(
                lambda: function.lower(sizes, variables, *arguments)
            )

        def call() -> Any:
            return jax.block_until_ready(compiled(variables, *arguments))

        return described(lowered, compiled, compile_s, call, named(case.task, call()))

    def _sizes(self, precision: str) -> AnimationConfig:
        dtype = "bfloat16" if precision == "bfloat16" else "float32"
        return dataclasses.replace(self.subject.training.model, dtype=dtype)

    def _inference(self, case: Case, variables: PyTree) -> tuple[Any, tuple[Any, ...]]:
        """The compiled function of the package, and its arguments behind the variables."""
        sizes = self._sizes(case.precision)
        if case.task == cases.ENCODE:
            return model.encode_source, (cases.images(case.batch, sizes.size, cases.SOURCE_SEED),)
        driving = cases.images(case.batch, sizes.size, cases.DRIVING_SEED)
        if case.task == cases.EXTRACT:
            return model.extract_motion, (driving,)
        assert case.task == cases.ANIMATE
        source = jnp.asarray(cases.images(1, sizes.size, cases.SOURCE_SEED))
        code = model.encode_source(sizes, variables, source)
        return model.animate, (code, model.extract_motion(sizes, variables, jnp.asarray(driving)))

    def _train_step(self, case: Case) -> Program:
        training = self.subject.training_in(self._sizes(case.precision).dtype)
        batch = jax.device_put(
            cases.training_batch(case.batch, training.model.size, training.loss.looks_closer)
        )
        frozen = jax.device_put(self.subject.frozen)
        key = jax.random.key(0)
        state = jax.device_put(self.subject.state)
        step = jax.jit(make_step(training), donate_argnums=0)
        lowered, compiled, compile_s = compile_anew(lambda: step.lower(state, batch, key, frozen))
        held = [state]
        del state  # its buffers go from step to step

        def call() -> Any:
            held[0], metrics = compiled(held[0], batch, key, frozen)
            return jax.block_until_ready((held[0], metrics))[1]

        return described(lowered, compiled, compile_s, call, named(case.task, call()))


def compile_anew(lower: Callable[[], Any]) -> tuple[Any, Any, float]:
    """A program lowered and compiled, and the seconds that took."""
    with compiling_anew():
        start = time.perf_counter()
        lowered = lower()
        compiled = lowered.compile()
        return lowered, compiled, time.perf_counter() - start


@contextlib.contextmanager
def compiling_anew() -> Iterator[None]:
    """Leaves the cache of compiled programs alone, whose reading is no compiling."""
    from jax.experimental.compilation_cache import compilation_cache

    flag = "jax_enable_compilation_cache"
    before = jax.config.values[flag]
    try:
        jax.config.update(flag, False)
        compilation_cache.reset_cache()  # it remembers whether it is used
        yield
    finally:
        jax.config.update(flag, before)
        compilation_cache.reset_cache()


def described(
    lowered: Any, compiled: Any, compile_s: float, call: Callable[[], Any], output: NumpyBatch
) -> Program:
    """A compiled program with its memory and its operations, as XLA states them."""
    memory, costs = compiled.memory_analysis(), lowered.cost_analysis()
    held = None
    if memory is not None:
        # What is donated is counted among the arguments and again among the outputs.
        held = (
            memory.argument_size_in_bytes
            + memory.output_size_in_bytes
            + memory.temp_size_in_bytes
            - memory.alias_size_in_bytes
        )
    # Of the program as written: what is compiled for a GPU hides its convolutions in library calls
    # that the analysis does not know.
    flops = (costs or {}).get("flops")
    return Program(call, output, compile_s, held, flops)


def named(task: str, output: Any) -> NumpyBatch:
    """The arrays of an output that the sides compare, by name."""
    leaves = tree.flatten(output) if isinstance(output, tuple | dict) else {task: output}
    return {
        name: np.asarray(leaf, np.float32)
        for name, leaf in leaves.items()
        if not name.startswith(cases.NOT_COMPARED)
    }
