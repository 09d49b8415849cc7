"""jaxgesture landmarks: finds hands and face in videos, with MediaPipe's Holistic Landmarker.

Try:
  pip install "jaxgesture[landmarks]"
  jaxgesture landmarks --videos=my_videos --model=holistic_landmarker.task
  jaxgesture prepare folder --videos=my_videos --out=data/mine --size=256

NAME.landmarks.npz is written beside every NAME.mp4, where jaxgesture prepare finds it: the frames
get boxes of hands, face and lips, which the local loss of stage 1 and the figures of hands and lips
need. Files that are there are kept, and the same command goes on where it was stopped. A video that
cannot be used is named with the reason, and the others are used.

Google publishes the model, holistic_landmarker.task, at
https://ai.google.dev/edge/mediapipe/solutions/vision/holistic_landmarker
"""

from absl import flags as absl_flags

from jaxgesture.cli import flags

FLAGS = flags.new()
absl_flags.DEFINE_list("videos", [], "a folder, or files separated by commas", flag_values=FLAGS)
absl_flags.DEFINE_string("model", None, "the file holistic_landmarker.task", flag_values=FLAGS)
absl_flags.DEFINE_boolean("overwrite", False, "make files anew that are there", flag_values=FLAGS)


def run() -> None:
    """Runs the command."""
    videos = flags.required(FLAGS, "videos", "name a folder of videos, or files")
    from jaxgesture.data import holistic

    model = flags.required(
        FLAGS, "model", f"name holistic_landmarker.task, published at {holistic.MODEL_PAGE}"
    )
    report = holistic.make_landmarks(
        videos[0] if len(videos) == 1 else videos,
        lambda: holistic.open_mediapipe(model),
        overwrite=FLAGS.overwrite,
    )
    print("\n".join(report.lines()))
