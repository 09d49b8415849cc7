r"""jaxgesture train: trains stage 1 or stage 2; the same command again goes on where it stopped.

Try:
  jaxgesture train --config=configs/stage1.py:debug --config.data.directory=data/mine \
      --workdir=runs/stage1
  jaxgesture train --config=configs/stage2.py:debug --config.data.directory=data/mine-motion \
      --workdir=runs/stage2 --config.optim.learning_rate=3e-4

Everything goes into the workdir: checkpoints, metrics.jsonl, TensorBoard files, pictures. Ctrl-C
saves first. A run keeps its configuration, with the number of steps where the learning rate hangs
on it: to train such a run longer, begin anew. --config takes a file and, after a colon, a preset
(paper, small, debug) and words.
"""

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
absl_flags.DEFINE_string("workdir", None, "where the run lives", flag_values=FLAGS)
absl_flags.DEFINE_float(
    "minutes", None, "stop, save and evaluate after so many minutes", flag_values=FLAGS
)


def run() -> None:
    """Runs the command."""
    config: Any = flags.required(FLAGS, "config", "name a file, such as configs/stage1.py:debug")
    workdir = flags.required(FLAGS, "workdir", "name the folder that the run lives in")
    limit = None if FLAGS.minutes is None else 60 * FLAGS.minutes
    try:
        model = config.model
    except (OSError, AttributeError) as error:  # a missing file is reported at its first use
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(
            f"--config cannot be used ({reason}); give FILE:PRESET, such as configs/stage1.py:debug"
        ) from error
    # The model tells the stages apart: only motion has segments.
    if "segment_frames" in model:
        from jaxgesture.motion.train import train
    else:
        from jaxgesture.animation.train import train
    train(config, workdir, time_limit_s=limit)
