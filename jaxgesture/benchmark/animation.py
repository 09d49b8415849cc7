"""The benchmark of the base model, from a configuration to a report."""

import dataclasses
from typing import Any

import jax

from jaxgesture.benchmark import measure
from jaxgesture.benchmark.cases import make_cases
from jaxgesture.benchmark.report import Report
from jaxgesture.benchmark.sides import LAYOUTS, make_sides
from jaxgesture.benchmark.subject import make_subject
from jaxgesture.core import tree


@dataclasses.dataclass(frozen=True)
class Options(measure.Options):
    """What is measured, and for how long.

    Attributes:
      batches: of the three functions.
      train_batch: pairs of a training step; None for the configuration's.
      precisions: of `cases.PRECISIONS`; None for all that the device has.
      ways: how PyTorch runs, of `sides.WAYS`; empty for JAX alone.
      repeats: of each side in each case, at most.
      seconds: budget of the timed repeats of a case, all sides together.
      layout: how PyTorch's images lie in memory, of `sides.LAYOUTS`.
    """

    layout: str = LAYOUTS[0]


def benchmark(config: Any, options: Options, *, progress: bool = False) -> Report:
    """Measures the base model of a configuration on all sides.

    Args:
      config: of stage 1, as `configs/stage1.py` makes it.
      options: what to measure.
      progress: show a bar.

    Returns:
      what was measured; after Ctrl-C, what was until then.

    Raises:
      UserError: for a wrong configuration or precision, or if every case failed.
    """
    busy = measure.busy()
    precisions = measure.precisions_of(options.precisions, jax.devices()[0].platform)
    subject = make_subject(config)
    sides = make_sides(subject, options.ways, options.layout)
    cases = make_cases(options.batches, options.train_batch or subject.batch_size, precisions)
    count = tree.format_count(tree.count(subject.variables["params"]))
    return measure.measure(
        f"the base model at {subject.training.model.size} pixels, {count} parameters",
        sides, cases, precisions, options,
        notes=(*subject.notes, *sides.notes, *busy), progress=progress,
    )  # fmt: skip
