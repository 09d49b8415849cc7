"""jaxgesture inspect: what is in a dataset, in a table and in pictures.

Try:
  jaxgesture inspect data/mine
  jaxgesture inspect data/mine-motion --out=out/mine-motion

Prints counts and hours of every speaker and split, the clips without sound or boxes, and what was
skipped or warned of when the dataset was made. Writes pictures: for frames a contact sheet with the
boxes of hands, face and lips and a training batch of stage 1, for motion features a training batch
of stage 2, for both the audio features of a clip and the lengths of the clips.
"""

from absl import flags as absl_flags

from jaxgesture.cli import flags

POSITIONAL = "data"
FLAGS = flags.new()
absl_flags.DEFINE_string(
    "data", None, "dataset made by jaxgesture prepare or extract", flag_values=FLAGS
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
    from jaxgesture.data.inspection import inspect

    print("\n".join(inspect(data, FLAGS.out).lines))
