"""jaxgesture benchmark: how fast networks and data are on this machine.

Try:
  jaxgesture benchmark animation
  jaxgesture benchmark animation --config=configs/stage1.py:paper --out=paper.md,paper.json
  jaxgesture benchmark motion --config=configs/stage2.py:paper --out=motion.md,motion.json
  jaxgesture benchmark motion --steps=10 --animation=runs/stage1 --motion=runs/stage2
  jaxgesture benchmark data --data=data/mine

animation   the base model: encode_source, extract_motion, animate (one source in --batches poses)
            and the training step with the losses of --config, in JAX, in PyTorch, and in PyTorch
            through torch.compile.
motion      the motion model: a pass of the network and a guided one (--batches segments), sampling
            a segment and 60 s of speech with --steps of DDIM, and the training step, on the same
            three sides. With --animation and --motion also whole videos, as `generate` makes them:
            seconds of work a second of video for features, motion, render and encode.
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
from typing import Any

from absl import flags as absl_flags
from ml_collections import config_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError

SUBJECTS = ("animation", "motion", "data")
SUFFIXES = (".md", ".json")
FLAGS = flags.new()
absl_flags.DEFINE_string("subject", None, "what to measure", flag_values=FLAGS)
config_flags.DEFINE_config_file(
    "config", None, "FILE:PRESET, if not the project's configs/stage1.py:debug (motion: stage2)",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_string(
    "data", None, "data: a dataset made by jaxgesture prepare", flag_values=FLAGS
)
absl_flags.DEFINE_list(
    "workers", "0,1,2", "data: numbers of processes that read ahead", flag_values=FLAGS
)
absl_flags.DEFINE_list(
    "batches", None, "images or poses of a call, if not 1,8,32; segments of a pass, if not 8",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_integer("steps", 50, "motion: steps of the sampler", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "animation", None, "motion: a base model, to measure whole videos", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "motion", None, "motion: the motion model on its features, likewise", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "audio", None, "motion: a recording for the videos, if not 10 s of made-up speech",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_integer(
    "train_batch", None,
    "pairs or segments of a training step, if not the config's data.batch_size",
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


_OF_BOTH = ("config", "batches", "train_batch", "precisions", "torch", "repeats")
# The flags that only some subjects have.
_OF = {
    "animation": {*_OF_BOTH, "torch_layout"},
    "motion": {*_OF_BOTH, "steps", "animation", "motion", "audio"},
    "data": {"data", "workers"},
}


def run() -> None:
    """Runs the command."""
    # Before JAX starts: it would take most of a GPU's memory and leave PyTorch none.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    files = flags.output_files(FLAGS.out, SUFFIXES)
    subject = str(FLAGS[flags.SUBJECT].value)
    flags.only_of(FLAGS, subject, _OF, "benchmark")
    text, content = {"animation": _animation, "motion": _motion, "data": _data}[subject]()
    print(text)
    flags.write_outputs({file: content if file.suffix == ".json" else text for file in files})


def _animation() -> tuple[str, str]:
    from jaxgesture.benchmark import report
    from jaxgesture.benchmark.animation import Options, benchmark

    options = Options(**_options(), layout=FLAGS.torch_layout)
    found = benchmark(_config("stage1"), options, progress=True)
    return report.markdown(found), report.to_json(found)


def _motion() -> tuple[str, str]:
    from jaxgesture.benchmark import report
    from jaxgesture.benchmark.motion import Options, benchmark

    options = Options(
        **_options(),
        steps=FLAGS.steps,
        animation=FLAGS.animation,
        motion=FLAGS.motion,
        audio=FLAGS.audio,
    )
    found = benchmark(_config("stage2"), options, progress=True)
    return report.markdown(found), report.to_json(found)


def _options() -> dict[str, Any]:
    """What the benchmarks of both models have in common."""
    return {
        **({} if FLAGS.batches is None else {"batches": _batches()}),
        "train_batch": FLAGS.train_batch,
        "precisions": None if FLAGS.precisions is None else tuple(FLAGS.precisions),
        "ways": () if FLAGS.torch == ["none"] else tuple(FLAGS.torch),
        "repeats": FLAGS.repeats,
        "seconds": FLAGS.seconds,
    }


def _data() -> tuple[str, str]:
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
    return found.markdown(), json.dumps(found.values(), indent=1) + "\n"


def _batches() -> tuple[int, ...]:
    try:
        return tuple(int(value) for value in FLAGS.batches)
    except ValueError:
        raise UserError(
            f"--batches={','.join(FLAGS.batches)} must be whole numbers, such as --batches=1,8"
        ) from None


def _config(stage: str) -> Any:
    if FLAGS.config is None:
        from jaxgesture.demo.settings import load_config

        return load_config(stage, "debug")
    return FLAGS.config
