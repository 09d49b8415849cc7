"""jaxgesture prepare: cuts videos into a dataset of frames and audio features.

Try:
  jaxgesture prepare --videos=my_videos --out=data/mine --size=64
  jaxgesture prepare --videos=talk.mp4 --out=data/talk --size=64 --validation=last:4.0
  jaxgesture prepare --presenter --out=data/presenter --size=64

Any container, codec, frame rate, rotation and sound layout will do; frames become squares at 25 a
second. A video without sound serves stage 1 only. A file that cannot be used is named with the
reason, and the others are used. The same command again keeps a finished dataset.

Landmarks of MediaPipe Holistic in NAME.landmarks.npz beside NAME.mp4 give the frames boxes of
hands, face and lips, which the local loss of stage 1 needs; jaxgesture/data/landmarks.py describes
the file.
"""

from absl import flags as absl_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError

FLAGS = flags.new()
absl_flags.DEFINE_list("videos", [], "a folder, or files separated by commas", flag_values=FLAGS)
absl_flags.DEFINE_boolean(
    "presenter", False, "render the synthetic presenter instead of videos", flag_values=FLAGS
)
absl_flags.DEFINE_string("out", None, "folder of the dataset", flag_values=FLAGS)
absl_flags.DEFINE_integer("size", 256, "side of the frames in pixels", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "crop", "center", "center, left, right, or x,y,side in pixels of the source", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "validation",
    "hash:0.1",
    "what is held out: hash:0.1 (a tenth of the files), last:4.0 (the last seconds of each), none, "
    "or files separated by commas",
    flag_values=FLAGS,
)
absl_flags.DEFINE_integer("quality", 95, "of the JPEG frames; 0 for PNG", flag_values=FLAGS)
absl_flags.DEFINE_integer("identities", 8, "of the presenter", flag_values=FLAGS)
absl_flags.DEFINE_integer("clips", 6, "of each identity of the presenter", flag_values=FLAGS)
absl_flags.DEFINE_float("seconds", 8.0, "of each clip of the presenter", flag_values=FLAGS)
absl_flags.DEFINE_integer("seed", 0, "of the presenter", flag_values=FLAGS)


def _crop(text: str):
    if "," not in text:
        return text
    try:
        x, y, side = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"--crop={text}: give three numbers, x,y,side") from error
    return (x, y, side)


def run() -> None:
    """Runs the command."""
    from jaxgesture.data import prepare

    out = flags.required(FLAGS, "out", "name the folder of the dataset")
    image_format, quality = ("png", 95) if FLAGS.quality == 0 else ("jpeg", FLAGS.quality)
    if FLAGS.presenter:
        report = prepare.prepare_presenter(
            out,
            identities=FLAGS.identities,
            clips=FLAGS.clips,
            seconds=FLAGS.seconds,
            size=FLAGS.size,
            seed=FLAGS.seed,
            image_format=image_format,
            quality=quality,
        )
    else:
        videos = flags.required(FLAGS, "videos", "name a folder of videos, or use --presenter")
        rule = FLAGS.validation
        known = rule == "none" or ":" in rule
        report = prepare.prepare_folder(
            videos[0] if len(videos) == 1 else videos,
            out,
            size=FLAGS.size,
            crop=_crop(FLAGS.crop),
            validation=rule if known else rule.split(","),
            image_format=image_format,
            quality=quality,
        )
    print("\n".join(report.lines()))
