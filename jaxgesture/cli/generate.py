r"""jaxgesture generate: makes a video from a picture of a speaker and a speech recording.

Try:
  jaxgesture generate --image=me.png --audio=speech.wav --animation=runs/stage1 \
      --motion=runs/stage2 --out=me.mp4

The picture may have any size (its centre square is used), the recording any length and format.
The same seed gives the same motion; --motion_out keeps it as a NumPy file.
"""

import pathlib

from absl import flags as absl_flags

from jaxgesture.cli import flags

FLAGS = flags.new()
absl_flags.DEFINE_string("image", None, "picture of the speaker", flag_values=FLAGS)
absl_flags.DEFINE_string("audio", None, "speech: any sound or video file", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "animation", None, "workdir of stage 1, or an exported folder", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "motion", None, "workdir of stage 2, or an exported folder", flag_values=FLAGS
)
absl_flags.DEFINE_string("out", "video.mp4", "the video to write", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "motion_out", None, "also write the motion features, as .npy", flag_values=FLAGS
)
absl_flags.DEFINE_integer("seed", 0, "another seed, other gestures", flag_values=FLAGS)
absl_flags.DEFINE_integer("candidates", 5, "continuations drawn per segment", flag_values=FLAGS)
absl_flags.DEFINE_integer("steps", 50, "steps of the sampler", flag_values=FLAGS)
absl_flags.DEFINE_float("guidance", 2.0, "weight of the speech", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "wavlm",
    None,
    "local folder of the WavLM model whose features the motion model was trained on",
    flag_values=FLAGS,
)
absl_flags.DEFINE_integer("batch", 16, "frames drawn at once", flag_values=FLAGS)


def run() -> None:
    """Runs the command."""
    image = flags.required(FLAGS, "image", "name a picture of the speaker")
    audio = flags.required(FLAGS, "audio", "name a speech recording")
    weights = flags.required(FLAGS, "animation", "name the workdir of a trained stage 1")
    motion = flags.required(FLAGS, "motion", "name the workdir of a trained stage 2")
    import numpy as np

    from jaxgesture.animation.model import load_animation
    from jaxgesture.data.container import check_file
    from jaxgesture.generation.pipeline import generate
    from jaxgesture.motion.model import load_motion

    for path in (image, audio):  # before the weights are read
        check_file(path)
    extractor = None
    if FLAGS.wavlm:
        from jaxgesture.data.wavlm import WavLM

        extractor = WavLM(FLAGS.wavlm)
    if FLAGS.motion_out:
        pathlib.Path(FLAGS.motion_out).expanduser().parent.mkdir(parents=True, exist_ok=True)
    result = generate(
        image,
        audio,
        animation=load_animation(weights),
        motion=load_motion(motion),
        seed=FLAGS.seed,
        out=FLAGS.out,
        candidates=FLAGS.candidates,
        steps=FLAGS.steps,
        guidance=FLAGS.guidance,
        batch=FLAGS.batch,
        extractor=extractor,
    )
    if FLAGS.motion_out:
        np.save(pathlib.Path(FLAGS.motion_out).expanduser(), result.motion)
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items())
    print(f"{result.path}: {len(result.motion)} frames ({spent})")
