r"""jaxgesture prepare: makes a dataset of frames and audio features.

Try:
  jaxgesture prepare folder --videos=my_videos --out=data/mine
  jaxgesture prepare folder --videos=talk.mp4 --out=data/talk --validation=last:4.0
  jaxgesture prepare folder --videos=my_videos --out=data/mine --crop=landmarks
  jaxgesture prepare folder --videos=my_videos --out=data/parts --segments=parts.csv
  jaxgesture prepare pats --intervals=cmu_intervals_df.csv --subset=subset.json --videos=pats \
    --list-downloads > missing.txt
  jaxgesture prepare pats --intervals=cmu_intervals_df.csv --subset=subset.json --videos=pats \
    --out=data/pats
  jaxgesture prepare presenter --out=data/presenter --size=64

Any container, codec, frame rate, rotation and sound layout will do; frames become squares at 25 a
second. NAME.wav beside NAME.mp4 is taken as its sound. A video without sound serves stage 1 only. A
file that cannot be used is named with the reason, and the others are used. The same command again
goes on where it was stopped, and keeps a finished dataset.

Landmarks in NAME.landmarks.npz beside NAME.mp4 (`jaxgesture landmarks` makes them) give the frames
boxes of hands, face and lips, which the local loss of stage 1, the figures of hands and lips and
--crop=landmarks need.

The list of --segments is a CSV file with the columns clip (file name), start, end (seconds or
00:01:02.5) and, if wanted, split (train or validation), crop, id, speaker; only these parts are
used.

PATS has no videos in it: `prepare pats --list-downloads` prints the addresses of those that are
missing below --videos, one a line, as `yt-dlp -a FILE` takes them. A video is found by the YouTube
id in its name.
"""

from absl import flags as absl_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError

SUBJECTS = ("folder", "pats", "presenter")

FLAGS = flags.new()
absl_flags.DEFINE_string(
    flags.SUBJECT,
    None,
    "videos of yours, the intervals of PATS over videos that you have, or the built-in synthetic "
    "presenter",
    flag_values=FLAGS,
)
absl_flags.DEFINE_list("videos", [], "a folder, or files separated by commas", flag_values=FLAGS)
absl_flags.DEFINE_string("out", None, "folder of the dataset", flag_values=FLAGS)
absl_flags.DEFINE_integer("size", 256, "side of the frames in pixels", flag_values=FLAGS)
absl_flags.DEFINE_float(
    "fps", 25.0, "frames a second; audio features exist for 25 only", flag_values=FLAGS
)
absl_flags.DEFINE_string(
    "crop",
    "center",
    "folder: center, left, right, top, bottom, landmarks (keeps hands and face in view), or "
    "x,y,side in pixels of the source",
    flag_values=FLAGS,
)
absl_flags.DEFINE_string(
    "validation",
    "hash:0.1",
    "folder: what is held out: hash:0.1 (a tenth of the files), last:4.0 (the last seconds of "
    "each), none, or files separated by commas",
    flag_values=FLAGS,
)
absl_flags.DEFINE_string("segments", None, "folder: CSV of the parts to use", flag_values=FLAGS)
absl_flags.DEFINE_float(
    "max_seconds",
    None,
    "longest clip; longer parts of a folder are divided (default: 60), longer intervals of PATS "
    "are cut off (default: 15)",
    flag_values=FLAGS,
)
absl_flags.DEFINE_integer("quality", 95, "of the JPEG frames; 0 for PNG", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "wavlm",
    None,
    "local folder of a WavLM model: its features in front of the 35 hand-crafted ones; needs pip "
    'install "jaxgesture[wavlm]"',
    flag_values=FLAGS,
)
absl_flags.DEFINE_integer(
    "workers", None, "processes (default: one a core); 0 for none", flag_values=FLAGS
)
absl_flags.DEFINE_string("intervals", None, "pats: cmu_intervals_df.csv", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "subset", None, 'pats: JSON {"train": [ids], "test": [ids]} of the intervals to use',
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_list("speakers", [], "pats: only these speakers", flag_values=FLAGS)
absl_flags.DEFINE_string(
    "crops",
    None,
    "pats: speaker=rule,... or a CSV file speaker,crop; a rule is the left edge of the square as a "
    "part of the width, or a word of --crop",
    flag_values=FLAGS,
)
absl_flags.DEFINE_boolean(
    "list_downloads", False, "pats: print the addresses of the videos that are missing",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_integer("identities", 8, "presenter: how many", flag_values=FLAGS)
absl_flags.DEFINE_integer("clips", 6, "presenter: of each identity", flag_values=FLAGS)
absl_flags.DEFINE_integer(
    "validation_clips", 1, "presenter: of the clips of each, so many are held out",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_float("seconds", 8.0, "presenter: of each clip", flag_values=FLAGS)
absl_flags.DEFINE_integer("seed", 0, "presenter: another one, other clips", flag_values=FLAGS)

_OF_FOLDER = ("crop", "validation", "segments")
_OF_PATS = ("intervals", "subset", "speakers", "crops", "list_downloads")
_OF_PRESENTER = ("identities", "clips", "validation_clips", "seconds", "seed")
_OF_VIDEOS = ("videos", "fps", "max_seconds", "wavlm")
_NOT_TO_LIST = ("out", "size", "fps", "max_seconds", "quality", "wavlm", "workers", "crops")
_NOT_FOR = {
    "folder": _OF_PATS + _OF_PRESENTER,
    "pats": _OF_FOLDER + _OF_PRESENTER,
    "presenter": _OF_FOLDER + _OF_PATS + _OF_VIDEOS,
}


def run() -> None:
    """Runs the command."""
    subject = str(FLAGS[flags.SUBJECT].value)
    not_for = _NOT_FOR[subject]
    if subject == "pats" and FLAGS.list_downloads:
        not_for = (*not_for, *_NOT_TO_LIST)
    for name in not_for:
        if FLAGS[name].present:
            what = "--list_downloads" if name in _NOT_TO_LIST else f"`prepare {subject}`"
            raise UserError(f"--{name} is not for {what}; leave it out")
    if subject == "pats" and FLAGS.list_downloads:
        _list_downloads()
        return
    from jaxgesture.data import workers

    out = flags.required(FLAGS, "out", "name the folder of the dataset")
    common = {
        "size": FLAGS.size,
        "image_format": "png" if FLAGS.quality == 0 else "jpeg",
        "quality": FLAGS.quality or 95,
        "workers": _workers(workers.usable_cores()),
    }
    make = {"folder": _folder, "pats": _pats, "presenter": _presenter}[subject]
    print("\n".join(make(out, common).lines()))


def _workers(cores: int) -> int:
    if FLAGS.workers is None:
        # A WavLM model takes 1.3 GB and two threads of each process.
        return max(1, cores // 2) if FLAGS.wavlm else cores
    if FLAGS.workers < 0:
        raise UserError(f"--workers={FLAGS.workers} must be 0 or more")
    return FLAGS.workers


def _videos() -> str | list[str]:
    videos = flags.required(FLAGS, "videos", "name a folder of videos")
    return videos[0] if len(videos) == 1 else videos


def _of_videos() -> dict:
    chosen = {"fps": FLAGS.fps}
    if FLAGS.max_seconds is not None:
        chosen["max_seconds"] = FLAGS.max_seconds
    if FLAGS.wavlm:
        from jaxgesture.data.wavlm import WavLM

        chosen["extractor"] = WavLM(FLAGS.wavlm)
    return chosen


def _folder(out: str, common: dict):
    from jaxgesture.data import crops, prepare

    rule = FLAGS.validation
    known = rule == "none" or ":" in rule
    return prepare.prepare_folder(
        _videos(),
        out,
        crop=crops.parse_crop(FLAGS.crop),
        validation=rule if known else rule.split(","),
        segments=FLAGS.segments,
        **_of_videos(),
        **common,
    )


def _pats_choice() -> dict:
    return {"subset": FLAGS.subset, "speakers": FLAGS.speakers or None}


def _pats(out: str, common: dict):
    from jaxgesture.data import pats, prepare

    return prepare.prepare_pats(
        flags.required(FLAGS, "intervals", "name cmu_intervals_df.csv of PATS"),
        _videos(),
        out,
        crops=pats.read_crops(FLAGS.crops) if FLAGS.crops else None,
        **_pats_choice(),
        **_of_videos(),
        **common,
    )


def _list_downloads() -> None:
    from jaxgesture.data import prepare

    intervals = flags.required(FLAGS, "intervals", "name cmu_intervals_df.csv of PATS")
    missing = prepare.missing_links(intervals, _videos(), **_pats_choice())
    if missing:
        print("\n".join(missing))


def _presenter(out: str, common: dict):
    from jaxgesture.data import prepare

    return prepare.prepare_presenter(
        out,
        identities=FLAGS.identities,
        clips=FLAGS.clips,
        validation_clips=FLAGS.validation_clips,
        seconds=FLAGS.seconds,
        seed=FLAGS.seed,
        **common,
    )
