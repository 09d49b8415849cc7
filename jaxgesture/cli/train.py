r"""jaxgesture train: trains stage 1, stage 2 or what FGD needs; the same command again goes on.

Try:
  jaxgesture train --config=configs/stage1.py:debug --config.data.directory=data/mine \
      --workdir=runs/stage1
  jaxgesture train --config=configs/stage2.py:debug --config.data.directory=data/mine-motion \
      --workdir=runs/stage2 --config.optim.learning_rate=3e-4
  jaxgesture train --config=configs/pose_autoencoder.py:debug --config.data.directory=my_videos \
      --workdir=runs/poses

Everything goes into the workdir: checkpoints, metrics.jsonl, TensorBoard files, pictures. Ctrl-C
saves first. A run keeps its configuration, with the number of steps where the learning rate hangs
on it: to train such a run longer, begin anew. --config takes a file and, after a colon, a preset
(paper, small, debug) and words.

Several hosts: the same command in each, and each learns which it is. On a TPU slice and under srun,
torchrun or mpirun there is nothing to add:
  gcloud compute tpus tpu-vm ssh SLICE --worker=all --command="jaxgesture train ..."
  srun --nodes=4 --ntasks-per-node=1 jaxgesture train ...
  torchrun --nnodes=4 --node-rank=K --nproc-per-node=1 --master-addr=HOST --master-port=1234 \
      --no-python jaxgesture train ...
Otherwise tell them. Two terminals of one machine, for a try:
  jaxgesture train ... --coordinator=localhost:1234 --processes=2 --process=0
  jaxgesture train ... --coordinator=localhost:1234 --processes=2 --process=1
The workdir and the data are the same for all, on a disk that all see. data.batch_size is that of
all together, and the results are those of one process. Where one dies, all end, at the latest after
--peer_timeout_s; the same commands go on from the last checkpoint, in any number of processes.
"""

import warnings
from typing import Any

import jax
from absl import flags as absl_flags
from ml_collections import config_flags

from jaxgesture.cli import flags
from jaxgesture.core import checkpoint_files, distributed, launch
from jaxgesture.core import workdir as workdirs
from jaxgesture.core.errors import DataWarning, UserError

FLAGS = flags.new()
config_flags.DEFINE_config_file(
    "config", None, "FILE:PRESET, then --config.section.key=value for single values",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_string("workdir", None, "where the run lives", flag_values=FLAGS)
absl_flags.DEFINE_float(
    "minutes", None, "stop, save and evaluate after so many minutes", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "profile", "", "FIRST:LAST, steps to trace into WORKDIR/profile, for TensorBoard",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_integer(
    "profiler_port", 0, "a port at which TensorBoard can ask this process for a trace",
    lower_bound=0, upper_bound=65535, flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_string(
    "coordinator", None,
    "HOST:PORT where process 0 listens, and at the next port JAX's coordinator; found by itself "
    "under a launcher", flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_integer(
    "processes", None, "how many processes train together; 1 ignores every launcher",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_integer(
    "process", None, "which of them this is, from 0; process 0 writes the logs", flag_values=FLAGS
)
absl_flags.DEFINE_float(
    "start_timeout_s", distributed.Patience.start_s, "how long to wait for all processes to come",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_float(
    "peer_timeout_s", distributed.Patience.silent_s,
    "how long a process may be silent before it counts as dead; one that was killed is noticed at "
    "once", flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_float(
    "stall_timeout_s", distributed.Patience.stall_s,
    "how long several processes may take for a step, with compilation, evaluation and saving",
    flag_values=FLAGS,
)  # fmt: skip


def run() -> None:
    """Runs the command."""
    config: Any = flags.required(FLAGS, "config", "name a file, such as configs/stage1.py:debug")
    workdir = flags.required(FLAGS, "workdir", "name the folder that the run lives in")
    if FLAGS.minutes is not None and not FLAGS.minutes > 0:
        raise UserError(f"--minutes={FLAGS.minutes:g} trains nothing; give more than 0")
    limit = None if FLAGS.minutes is None else 60 * FLAGS.minutes
    path, step = checkpoint_files.split(workdir)
    if step is not None:
        raise UserError(
            f"--workdir={workdir}: a name that ends in @{step} means a checkpoint, and training "
            f"goes on from the newest; to go on from another, copy {path}, delete the newer ones "
            "in its checkpoints, and give the copy"
        )
    try:
        model = config.model
    except (OSError, AttributeError) as error:  # a missing file is reported at its first use
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(
            f"--config cannot be used ({reason}); give FILE:PRESET, such as configs/stage1.py:debug"
        ) from error
    launched = launch.find(FLAGS.coordinator, FLAGS.processes, FLAGS.process)
    patience = distributed.Patience(
        FLAGS.start_timeout_s, FLAGS.peer_timeout_s, FLAGS.stall_timeout_s
    )

    def last_words() -> str:
        steps = checkpoint_files.steps(workdirs.place(workdir) / checkpoint_files.FOLDER)
        saved = f"the last checkpoint is step {steps[0]}" if steps else "there is no checkpoint yet"
        return f"{saved}; start all processes again with the same command"

    with distributed.processes(launched, patience, last_words):
        if jax.process_index():  # what is wrong with the data, the first process says
            warnings.simplefilter("ignore", DataWarning)
        # The model tells what is trained: only motion has segments, only the autoencoder channels.
        if "segment_frames" in model:
            from jaxgesture.motion.train import train
        elif "channels" in model:
            from jaxgesture.embedding.train import train
        else:
            from jaxgesture.animation.train import train
        if FLAGS.profiler_port:
            jax.profiler.start_server(FLAGS.profiler_port)
        train(config, workdir, time_limit_s=limit, profile=FLAGS.profile)
