"""jaxgesture benchmark: how fast networks and data are on this machine.

Try:
  jaxgesture benchmark animation
  jaxgesture benchmark animation --config=configs/stage1.py:paper --out=paper.md,paper.json
  jaxgesture benchmark data --data=data/mine

animation   the base model: encode_source, extract_motion, animate (one source in --batches poses)
            and the training step with the losses of --config, in JAX, in PyTorch, and in PyTorch
            through torch.compile.
data        pairs of frames a second out of the dataset --data with each number of --workers, and
            the time of a pair by its parts, beside that of decoding alone.

All sides have the same weights and inputs, and their repeats take turns. How far their outputs lie
apart stands beside the times; where it is more than rounding, a warning says so. A case that runs
out of memory is listed as such. PyTorch is not needed (pip install torch): without it JAX runs
alone. Losses on feature networks whose weight file is not named take random features.

The default --config fits a laptop; on a GPU give its own, such as configs/stage1.py:paper. On a CPU
torch.compile takes minutes a case, and --torch=eager does without.
"""

import json
import os

from absl import flags as absl_flags
from ml_collections import config_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError

SUBJECTS = ("animation", "data")
SUFFIXES = (".md", ".json")
FLAGS = flags.new()
absl_flags.DEFINE_string("subject", None, "what to measure", flag_values=FLAGS)
config_flags.DEFINE_config_file(
    "config", None, "FILE:PRESET, if not the project's configs/stage1.py:debug", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "data", None, "data: a dataset made by jaxgesture prepare", flag_values=FLAGS
)
absl_flags.DEFINE_list(
    "workers", "0,1,2", "data: numbers of processes that read ahead", flag_values=FLAGS
)
absl_flags.DEFINE_list("batches", "1,8,32", "images or poses of a call", flag_values=FLAGS)
absl_flags.DEFINE_integer(
    "train_batch", None, "pairs of a training step, if not the config's data.batch_size",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_list(
    "precisions", None, "of float32, tf32 (NVIDIA GPUs) and bfloat16; if not all the device has",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_list(
    "torch", "eager,compiled", "how PyTorch runs, of eager and compiled; or none", flag_values=FLAGS
)
absl_flags.DEFINE_enum(
    "torch_layout", "channels_first", ("channels_first", "channels_last"),
    "how PyTorch's images and kernels lie in memory; which is faster depends on the device",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_integer("repeats", 30, "of each side, at most", flag_values=FLAGS)
absl_flags.DEFINE_float(
    "seconds", 20.0, "budget of a case's timed repeats, all sides together", flag_values=FLAGS
)
absl_flags.DEFINE_list(
    "out",
    None,
    "files to write, or to write anew: FILE.md for the tables, FILE.json for all",
    flag_values=FLAGS,
)


_OF_DATA = ("data", "workers")
_OF_ANIMATION = (
    "config", "batches", "train_batch", "precisions", "torch", "torch_layout", "repeats",
)  # fmt: skip


def run() -> None:
    """Runs the command."""
    # Before JAX starts: it would take most of a GPU's memory and leave PyTorch none.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    files = flags.output_files(FLAGS.out, SUFFIXES)
    subject = str(FLAGS[flags.SUBJECT].value)
    for name in _OF_DATA if subject == "animation" else _OF_ANIMATION:
        if FLAGS[name].present:
            raise UserError(f"--{name} is not for `benchmark {subject}`; leave it out")
    if subject == "data":
        text, values = _data()
        print(text)
        flags.write_outputs(
            {f: json.dumps(values, indent=1) + "\n" if f.suffix == ".json" else text for f in files}
        )
        return
    from jaxgesture.benchmark import report
    from jaxgesture.benchmark.animation import Options, benchmark

    options = Options(
        batches=_batches(),
        train_batch=FLAGS.train_batch,
        precisions=None if FLAGS.precisions is None else tuple(FLAGS.precisions),
        ways=() if FLAGS.torch == ["none"] else tuple(FLAGS.torch),
        layout=FLAGS.torch_layout,
        repeats=FLAGS.repeats,
        seconds=FLAGS.seconds,
    )
    found = benchmark(_config(), options, progress=True)
    text = report.markdown(found)
    print(text)
    flags.write_outputs(
        {file: report.to_json(found) if file.suffix == ".json" else text for file in files}
    )


def _data() -> tuple[str, dict]:
    where = flags.required(FLAGS, "data", "name a dataset made by jaxgesture prepare")
    from jaxgesture.data import throughput
    from jaxgesture.data.datasets import FrameDataset

    try:
        workers = [int(value) for value in FLAGS.workers]
    except ValueError:
        raise UserError(
            f"--workers={','.join(FLAGS.workers)} must be whole numbers, such as --workers=0,2"
        ) from None
    found = throughput.measure(FrameDataset(where), workers=workers, seconds=FLAGS.seconds)
    return found.markdown(), found.values()


def _batches() -> tuple[int, ...]:
    try:
        return tuple(int(value) for value in FLAGS.batches)
    except ValueError:
        raise UserError(
            f"--batches={','.join(FLAGS.batches)} must be whole numbers, such as --batches=1,8"
        ) from None


def _config():
    if FLAGS.config is None:
        from jaxgesture.demo.settings import load_config

        return load_config("stage1", "debug")
    return FLAGS.config
