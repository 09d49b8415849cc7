"""Runs the cases of a benchmark on its sides, and makes the report of them."""

import dataclasses
import os
import sys
from collections.abc import Sequence

from tqdm import tqdm

from jaxgesture.benchmark import compare, environment
from jaxgesture.benchmark.cases import PRECISIONS, Case
from jaxgesture.benchmark.report import Report
from jaxgesture.benchmark.sides import WAYS, Sides
from jaxgesture.core.config import nearest
from jaxgesture.core.errors import UserError

BUSY = 0.5  # load for each core above which a note says so


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured, and for how long.

    Attributes:
      batches: of the functions.
      train_batch: of a training step; None for the configuration's.
      precisions: of `cases.PRECISIONS`; None for all that the device has.
      ways: how PyTorch runs, of `sides.WAYS`; empty for JAX alone.
      repeats: of each side in each case, at most.
      seconds: budget of the timed repeats of a case, all sides together.
    """

    batches: tuple[int, ...] = (1, 8, 32)
    train_batch: int | None = None
    precisions: tuple[str, ...] | None = None
    ways: tuple[str, ...] = WAYS
    repeats: int = 30
    seconds: float = 20.0

    def __post_init__(self):
        """Refuses what cannot be run."""
        if not self.batches or min(self.batches) < 1:
            raise UserError(
                f"--batches={','.join(map(str, self.batches))} must be 1 or more, such as "
                "--batches=1,8"
            )
        if self.train_batch is not None and self.train_batch < 1:
            raise UserError(f"--train_batch={self.train_batch} must be 1 or more")
        for flag, words, known in (
            ("precisions", self.precisions or (), PRECISIONS), ("torch", self.ways, WAYS),
        ):  # fmt: skip
            for word in words:
                if word not in known:
                    raise UserError(f"--{flag} has no {word!r}; {nearest(word, known)}")
            if len(set(words)) < len(words):
                raise UserError(f"--{flag}={','.join(words)} names one twice; name each once")
        if self.precisions is not None and not self.precisions:
            raise UserError(f"--precisions is empty; name some of {', '.join(PRECISIONS)}")
        if self.repeats < 1 or not self.seconds > 0:
            raise UserError(
                f"--repeats={self.repeats} and --seconds={self.seconds:g} leave nothing to "
                "measure; choose 1 or more, and more than 0"
            )


def measure(
    subject: str,
    sides: Sides,
    cases: Sequence[Case],
    precisions: Sequence[str],
    options: Options,
    *,
    notes: Sequence[str],
    progress: bool,
) -> Report:
    """Measures all cases on all sides.

    Args:
      subject: what is measured, one line.
      sides: who takes part.
      cases: in the order of the table.
      precisions: of the matrix products that rates are compared with.
      options: repeats and budget.
      notes: what the reader must know, a line each.
      progress: show a bar.

    Returns:
      what was measured; after Ctrl-C, what was until then.

    Raises:
      UserError: if every case failed.
    """
    frameworks = {compare.framework(side.name) for side in sides.running}
    total = len(frameworks) * len(precisions) + len(cases)
    with tqdm(total=total, desc="benchmark", unit="case", disable=not progress) as bar:
        bar.set_postfix_str("matrix products")
        peaks = compare.peaks(sides.running, precisions, bar.update)
        results, cut = _run_cases(sides.running, cases, options, bar)
    _check_failures(results)
    about = environment.about()
    if sides.torch_device:
        about["torch_device"] = sides.torch_device
    return Report(
        subject,
        sides.names,
        tuple(results),
        peaks,
        about,
        (*notes, *cut),
        tuple(line for result in results for line in compare.warnings_of(result)),
    )


def _run_cases(
    sides: Sequence[compare.Side], cases: Sequence[Case], options: Options, bar: tqdm
) -> tuple[list[compare.Result], list[str]]:
    """The results, and a note where Ctrl-C cut them short."""
    results = []
    for case in cases:
        bar.set_postfix_str(str(case))
        try:
            result = compare.run_case(sides, case, options.repeats, options.seconds)
        except KeyboardInterrupt:
            if not results:
                raise
            return results, [f"Interrupted at {case}: this and what follows was not measured."]
        for line in compare.warnings_of(result):
            bar.write(f"jaxgesture: warning: {line}", file=sys.stderr)
        results.append(result)
        bar.update()
    return results, []


def _check_failures(results: Sequence[compare.Result]) -> None:
    sides = [side for result in results for side in result.sides.values()]
    failures = [side for side in sides if isinstance(side, compare.Failure)]
    if len(failures) == len(sides):
        raise UserError(
            f"every case failed, the first with: {failures[0].reason}; choose smaller --batches "
            "and --train_batch, or a smaller --config"
        )


def busy() -> list[str]:
    """A note where other programs run."""
    load = environment.load()
    if load is None or load <= BUSY * (os.cpu_count() or 1):
        return []
    # Measured on two busy cores: a pass of 4 ms on one of PyTorch's threads took 360 ms on two.
    return [
        f"The machine was busy before this began (load {load:.1f}): run it again alone. PyTorch "
        "suffers most, whose threads wait for each other."
    ]


def precisions_of(wanted: tuple[str, ...] | None, platform: str) -> tuple[str, ...]:
    """The precisions that are asked for, or all that JAX's platform has.

    Raises:
      UserError: TF32 where there is no NVIDIA GPU.
    """
    has_tf32 = platform == "gpu"
    if wanted is None:
        return tuple(name for name in PRECISIONS if has_tf32 or name != "tf32")
    if "tf32" in wanted and not has_tf32:
        raise UserError(
            f"--precisions has tf32, which needs an NVIDIA GPU, and JAX runs on {platform}; leave "
            "it out"
        )
    return wanted
