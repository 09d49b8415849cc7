r"""jaxgesture study: mean opinion scores, from a page on which people rate videos to a table.

Try:
  jaxgesture study make --systems=ours=out/a,other=out/b,truth=out/c --out=study
  jaxgesture study make --systems=ours=out/a,truth=out/c --out=study --clips=12 --raters=20 \
      --title="Speakers" --question=realness --question="lips=How well do the lips fit the words?"
  jaxgesture study collect --key=study/key.json --answers=answers --out=table.md,table.json

make      a folder OUT/page with a page and copies of the videos under random names. It works from
          a disk and from any web host, and needs neither a program on the host nor a network. The
          same clip has the same file name (.mp4, .webm, .m4v) in the folder of each system. Each
          rater sees --clips of the videos, so many of each system and of each clip, in an order
          of his own, and downloads a file of answers at the end. Raters who are given the numbers
          1 to --raters (index.html?rater=7) see each video equally often. OUT/key.json, which
          tells the systems, stays with you.

collect   a table of mean and 95 % interval of each system and question, with Krippendorff's alpha.
          The interval is Student's over the raters' means. Files that cannot be used, raters who
          answered everything alike, and unfinished files are named and left out.
"""

import pathlib

from absl import flags as absl_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError

SUBJECTS = ("make", "collect")
SUFFIXES = (".md", ".json")
FLAGS = flags.new()
absl_flags.DEFINE_string("subject", None, "make the page, or collect answers", flag_values=FLAGS)
absl_flags.DEFINE_list(
    "systems", None, "make: NAME=FOLDER of videos, separated by commas", flag_values=FLAGS
)
absl_flags.DEFINE_list(
    "out", None, "make: the folder to make; collect: FILE.md for the table, FILE.json for all",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_integer("clips", 12, "make: videos that each rater sees", flag_values=FLAGS)
absl_flags.DEFINE_integer("raters", 20, "make: how many are expected", flag_values=FLAGS)
absl_flags.DEFINE_integer("seed", 0, "make: of who sees which videos", flag_values=FLAGS)
absl_flags.DEFINE_string("title", None, "make: of the page", flag_values=FLAGS)
absl_flags.DEFINE_multi_string(
    "question", None, "make: NAME=TEXT, or realness, diversity, synchrony or overall; once for "
    "each question (default: these four)", flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_string(
    "send_to", None, "make: what the page says to do with the file of answers", flag_values=FLAGS
)
absl_flags.DEFINE_string("key", None, "collect: key.json of the study", flag_values=FLAGS)
absl_flags.DEFINE_list(
    "answers", None, "collect: a folder of the raters' files, or the files", flag_values=FLAGS
)
absl_flags.DEFINE_enum(
    "incomplete", "drop", ("drop", "keep"), "collect: answers of those who did not finish",
    flag_values=FLAGS,
)  # fmt: skip
absl_flags.DEFINE_boolean(
    "keep_all_equal", False, "collect: keep raters all of whose answers are one number",
    flag_values=FLAGS,
)  # fmt: skip

_OF = {
    "make": {"systems", "clips", "raters", "seed", "title", "question", "send_to"},
    "collect": {"key", "answers", "incomplete", "keep_all_equal"},
}


def run() -> None:
    """Runs the command."""
    subject = str(FLAGS[flags.SUBJECT].value)
    flags.only_of(FLAGS, subject, _OF, "study")
    {"make": _make, "collect": _collect}[subject]()


def _make() -> None:
    flags.required(FLAGS, "systems", "name folders of videos, as ours=out/a,truth=out/b")
    flags.required(FLAGS, "out", "name the folder of the study")
    if len(FLAGS.out) > 1:
        raise UserError(f"--out={','.join(FLAGS.out)} is more than a folder; name one")
    systems: dict[str, pathlib.Path] = {}
    for item in FLAGS.systems:
        name, _, folder = (part.strip() for part in item.partition("="))
        if not name or not folder:
            raise UserError(f"--systems: {item!r} is not NAME=FOLDER, such as ours=out/a")
        if name in systems:
            raise UserError(f"--systems names {name} twice; give each system a name of its own")
        systems[name] = pathlib.Path(folder).expanduser()
    from jaxgesture.study import kit

    made = kit.make(
        systems,
        pathlib.Path(FLAGS.out[0]),
        clips=FLAGS.clips,
        raters=FLAGS.raters,
        seed=FLAGS.seed,
        title=FLAGS.title or kit.TITLE,
        questions=[kit.question(text) for text in FLAGS.question or ()] or kit.QUESTIONS,
        send_to=FLAGS.send_to or kit.SEND_TO,
    )
    print("\n".join(made.lines()))


def _collect() -> None:
    key = flags.required(FLAGS, "key", "name the key.json that `study make` wrote")
    answers = flags.required(FLAGS, "answers", "name the folder with the raters' files")
    files = flags.output_files(FLAGS.out, SUFFIXES)
    from jaxgesture.study import collect, report

    found = collect.collect(
        pathlib.Path(key).expanduser(),
        [pathlib.Path(name).expanduser() for name in answers],
        keep_incomplete=FLAGS.incomplete == "keep",
        keep_all_equal=FLAGS.keep_all_equal,
    )
    text = report.markdown(found)
    print(text, end="")
    flags.write_outputs(
        {file: report.to_json(found) if file.suffix == ".json" else text for file in files}
    )
