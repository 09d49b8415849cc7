"""jaxgesture extract: writes the motion features of a dataset with a trained base model.

Try:
  jaxgesture extract --animation=runs/stage1 --data=data/mine --out=data/mine-motion

The result is what stage 2 is trained on. It names the hash of the weights that made it; the same
command again keeps it.
"""

from absl import flags as absl_flags

from jaxgesture.cli import flags

FLAGS = flags.new()
absl_flags.DEFINE_string(
    "animation", None, "workdir of stage 1, or an exported folder", flag_values=FLAGS
)
absl_flags.DEFINE_string("data", None, "dataset made by jaxgesture prepare", flag_values=FLAGS)
absl_flags.DEFINE_string("out", None, "folder of the motion dataset", flag_values=FLAGS)
absl_flags.DEFINE_integer("batch", 16, "frames at once", flag_values=FLAGS)


def run() -> None:
    """Runs the command."""
    weights = flags.required(FLAGS, "animation", "name the workdir of a trained stage 1")
    data = flags.required(FLAGS, "data", "name the dataset")
    out = flags.required(FLAGS, "out", "name the folder to write")
    from jaxgesture.animation.model import load_animation
    from jaxgesture.data.datasets import FrameDataset
    from jaxgesture.generation.extraction import extract

    animation = load_animation(weights)
    frames = FrameDataset(data, size=animation.size)
    motion = extract(animation, frames, out, batch=FLAGS.batch)
    clips = motion.clips()
    print(f"{out}: {len(clips)} clips, {sum(clip.frames for clip in clips)} motion features")
