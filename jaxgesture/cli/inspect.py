"""jaxgesture inspect: what is in a dataset, in a table and in pictures; what made a video.

Try:
  jaxgesture inspect data/mine
  jaxgesture inspect data/mine-motion --out=out/mine-motion
  jaxgesture inspect me.mp4

Prints counts and hours of every speaker and split, the clips without sound or boxes, and what was
skipped or warned of when the dataset was made. Writes pictures: for frames a contact sheet with the
boxes of hands, face and lips and a training batch of stage 1, for motion features a training batch
of stage 2, for both the audio features of a clip and the lengths of the clips.

Of a video or PNG picture the entry is printed by which jaxgesture generate says what made it; that
a file has none does not say that it is real, for programs and sites remove metadata.
"""

import pathlib

from absl import flags as absl_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError

POSITIONAL = "data"
FLAGS = flags.new()
absl_flags.DEFINE_string(
    "data",
    None,
    "dataset made by jaxgesture prepare or extract, or a video or PNG picture",
    flag_values=FLAGS,
)
absl_flags.DEFINE_string(
    "out",
    None,
    "folder of the pictures; NAME-inspect beside the dataset if none",
    flag_values=FLAGS,
)


def run() -> None:
    """Runs the command."""
    data = flags.required(FLAGS, "data", "name the dataset, jaxgesture inspect DIR")
    if pathlib.Path(data).expanduser().is_file():
        _print_entry(data)
        return
    from jaxgesture.data.inspection import inspect

    print("\n".join(inspect(data, FLAGS.out).lines))


def _print_entry(file: str) -> None:
    """Prints what a video or picture says of its making."""
    from jaxgesture.generation import provenance

    if FLAGS.out is not None:
        raise UserError(f"--out is for the pictures of a dataset, and {file} is none; leave it out")
    entry = provenance.read(file)
    if entry is None:
        print(f"{file}: no entry that says what made it")
        return
    print(f"{file}: {entry.sentence}")
    for name, value in entry.facts.items():
        print(f"  {name}: {value}")
