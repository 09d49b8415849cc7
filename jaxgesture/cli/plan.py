r"""jaxgesture plan: what training and generation would take of chips that are not here.

Try:
  pip install "jaxgesture[plan]"
  jaxgesture plan --config=configs/stage1.py:paper --topology=v5e:4x4 --batch=64
  jaxgesture plan --config=configs/stage1.py:paper --topology=v5e:4x4 --batch=max \
      --config.model.remat=True --json=plan.json
  jaxgesture plan --config=configs/stage2.py:paper --topology=v5p:4x4x4 --config.mesh.fsdp=4
  jaxgesture plan --config=configs/stage1.py:paper --what=render --topology=v5e:2x2
  jaxgesture plan --config=configs/stage2.py:paper --what=sample --topology=v6e:2x4
  jaxgesture plan --config=configs/stage1.py:paper --topology=gpu:8xh200 --batch=max

For TPUs (v4, v5e, v5p, v6e) the TPU compiler makes the real program: memory, operations and
communication are its own, times are estimates. For GPUs (gpu:8xh200) it is arithmetic. No data, no
weights and no accelerator are needed; compiling takes minutes. docs/plan.md tells how to read it.
"""

import sys
from typing import Any

from absl import flags as absl_flags
from ml_collections import config_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError

FLAGS = flags.new()
config_flags.DEFINE_config_file(
    "config", None, "FILE:PRESET, then --config.section.key=value for single values",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_string(
    "topology", None, "CHIP:SHAPE of a TPU slice, such as v5e:4x4, or gpu:NUMBERxKIND",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_string(
    "what", "train", "train (a step), render (stage 1: frames) or sample (stage 2: a segment with "
    "its candidates)", flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_string(
    "batch", None, "examples (frames, segments) on all chips together, or max: the most that fit "
    "(default: data.batch_size, without training 1 a chip)", flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_integer(
    "attempts", 6, "programs to compile for --batch=max, at most", lower_bound=2, flag_values=FLAGS
)
absl_flags.DEFINE_float(
    "efficiency", None, "GPUs: the share of the peak that matrix units are assumed to reach "
    "(default: 0.4)", flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_list("json", None, "FILE.json to write", flag_values=FLAGS)


def run() -> None:
    """Runs the command."""
    config: Any = flags.required(FLAGS, "config", "name a file, such as configs/stage1.py:paper")
    where = flags.required(FLAGS, "topology", "name a slice, such as v5e:4x4, or gpu:8xh200")
    files = flags.output_files(FLAGS.json, (".json",), "json")
    from jaxgesture.planning import arithmetic, chips, plans, report, subjects

    place = chips.parse(where)
    efficiency = arithmetic.EFFICIENCY if FLAGS.efficiency is None else FLAGS.efficiency
    if not 0 < efficiency <= 1:
        raise UserError(f"--efficiency={efficiency} is no share; choose more than 0, at most 1")
    on_gpus = isinstance(place, chips.Node)
    if FLAGS.efficiency is not None and not on_gpus:
        raise UserError("--efficiency is for GPUs; for a slice the compiler estimates the time")
    request = plans.Request(_batch(FLAGS.batch), FLAGS.attempts, efficiency)
    subject = subjects.make(config, FLAGS.what)
    if isinstance(place, chips.Node):
        plan = plans.for_node(subject, place, request, _say)
    else:
        plan = plans.for_slice(subject, place, request, _say)
    print(report.text(plan), end="")
    flags.write_outputs({file: report.to_json(plan) for file in files})


def _batch(text: str | None) -> int | str | None:
    if text is None or text == "max":
        return text
    if not text.isdecimal():
        raise UserError(f"--batch={text}: give a number, or max")
    return int(text)


def _say(line: str) -> None:
    # Compiling takes minutes: what is being done goes beside the plan.
    print(line, file=sys.stderr, flush=True)
