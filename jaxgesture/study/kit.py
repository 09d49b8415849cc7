"""Makes a study: a folder to serve, with a page and videos under random names, and a private key.

OUT/page/index.html        the page, complete with its style, its program and the study
OUT/page/videos/TOKEN.mp4  copies without metadata; a token says nothing of system or clip
OUT/page/study.json        what the page knows, for other programs
OUT/key.json               token -> system and clip; stays with whoever makes the study
"""

import json
import pathlib
import re
import secrets
import shutil
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxgesture.core import strict_json
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.study import plans, videos

FORMAT = 1
# Of the absolute category rating of ITU-T P.800, from 1 to 5.
SCALE = ("bad", "poor", "fair", "good", "excellent")
TITLE = "People speaking with their hands"
SEND_TO = "Please send this file to the person who invited you."


class Question(NamedTuple):
    """A question that is answered for each video, from 1 to 5.

    Attributes:
      name: in files and tables.
      label: the few words in front of it.
      text: the question.
    """

    name: str
    label: str
    text: str


# Those of the paper's Table 1.
QUESTIONS = (
    Question("realness", "Realness", "How real does this person look and move?"),
    Question(
        "diversity", "Diversity of gesture", "How rich and varied are the movements of the hands?"
    ),
    Question(
        "synchrony",
        "Synchrony of speech and gesture",
        "How well do gestures and lips fit the speech in time?",
    ),
    Question("overall", "Overall quality", "How good is this video as a whole?"),
)


class Kit(NamedTuple):
    """A study that was made.

    Attributes:
      page: the folder to serve.
      key: the private file.
      systems: their number.
      clips: their number.
      plan: videos that a rater sees.
      raters: number of plans.
      least: raters that see the video shown least, if each plan is used once.
      most: and the one shown most.
    """

    page: pathlib.Path
    key: pathlib.Path
    systems: int
    clips: int
    plan: int
    raters: int
    least: int
    most: int

    def lines(self) -> list[str]:
        """What was made, and what to do with it."""
        seen = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        return [
            f"{self.page}: {self.systems * self.clips} videos ({self.systems} systems x "
            f"{self.clips} clips), {self.raters} plans of {self.plan} videos; each video is seen "
            f"by {seen} raters",
            f"open {self.page / 'index.html'} in a browser, or put the folder {self.page} on any "
            f"web host; give each rater a number, as index.html?rater=1 to ?rater={self.raters}",
            f"{self.key} tells which system made which video: keep it private, never beside the "
            "page",
            f"then: jaxgesture study collect --key={self.key} --answers=FOLDER "
            "--out=table.md,table.json",
        ]


def question(text: str) -> Question:
    """A question from NAME=TEXT, or from the NAME of one of `QUESTIONS`.

    Raises:
      UserError: if it is neither.
    """
    name, _, words = (part.strip() for part in text.partition("="))
    known = {q.name: q for q in QUESTIONS}
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(
            f"--question={text}: write NAME=TEXT with a name of small letters, digits and _"
        )
    if not words and name not in known:
        raise UserError(
            f"--question={text}: write {name}=TEXT; without a text there are {', '.join(known)}"
        )
    label = known[name].label if name in known else name.replace("_", " ").capitalize()
    return Question(name, label, words or known[name].text)


def make(
    systems: Mapping[str, pathlib.Path],
    out: pathlib.Path,
    *,
    clips: int = 12,
    raters: int = 20,
    seed: int = 0,
    title: str = TITLE,
    questions: Sequence[Question] = QUESTIONS,
    send_to: str = SEND_TO,
) -> Kit:
    """Writes the folder of a study; it appears only when it is complete.

    Args:
      systems: name -> folder of videos.
      out: the folder; it must be new or empty, because its tokens are in answers already.
      clips: videos that each rater sees, at most.
      raters: plans to make; more raters than plans share them.
      seed: of the plans. Tokens are drawn anew each time, so that they cannot be guessed.
      title: of the page.
      questions: asked of each video.
      send_to: what the page says to do with the answers.

    Raises:
      UserError: folders without videos in common, videos that browsers do not play, a folder that
        is in use, two questions of one name, or numbers that make no study.
    """
    if not systems:
        raise UserError("a study needs a system at least; give --systems=NAME=FOLDER,...")
    if len({q.name for q in questions}) < len(questions) or not questions:
        raise UserError("each question needs a name of its own; name every --question once")
    out = out.expanduser().resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(
            f"{out} exists and is not empty; a study is never overwritten, as answers to it may "
            "be under way: name a new folder"
        )
    found = videos.match(systems)
    if seed < 0:
        raise UserError(f"seed is {seed}; choose 0 or more")
    plan = plans.make(len(systems), len(found), raters=raters, videos=clips, seed=seed)
    tokens = np.array([[secrets.token_hex(6) for _ in found] for _ in systems])
    chosen = [
        (tokens[s, c], system, clip, found[clip][system].path)
        for s, system in enumerate(systems)
        for c, clip in enumerate(found)
    ]
    study = secrets.token_hex(4)
    public = {
        "format": FORMAT,
        "study": study,
        "title": title,
        "send_to": send_to,
        "scale": list(SCALE),
        "questions": [q._asdict() for q in questions],
        # In the order of tokens, which tells nothing of the order they were made in.
        "videos": {
            token: f"videos/{token}{path.suffix.lower()}" for token, _, _, path in sorted(chosen)
        },
        "plans": [sorted(tokens[s, c] for s, c in pairs) for pairs in plan],
    }
    key = {
        "format": FORMAT,
        "study": study,
        "title": title,
        "seed": seed,
        "systems": list(systems),
        "clips": list(found),
        "questions": [q._asdict() for q in questions],
        "videos": {
            token: {"system": system, "clip": clip, "source": str(path)}
            for token, system, clip, path in chosen
        },
        "plans": public["plans"],
    }
    _write(out, public, key, {token: path for token, _, _, path in chosen})
    counts = np.zeros(tokens.shape, int)
    np.add.at(counts, (plan[..., 0], plan[..., 1]), 1)
    least, most = int(counts.min()), int(counts.max())
    if not least:
        warnings.warn(
            f"{int((counts == 0).sum())} of {counts.size} videos are shown to nobody; raise "
            "--raters or --clips, or make a new study of fewer videos",
            DataWarning,
            stacklevel=2,
        )
    sizes = (len(systems), len(found), plan.shape[1], raters)
    return Kit(out / "page", out / "key.json", *sizes, least, most)


def page(study: Mapping[str, Any]) -> str:
    """The page as one file: style, program and study are put into page.html."""
    folder = pathlib.Path(__file__).parent
    parts = {
        "/*STYLE*/": (folder / "page.css").read_text(encoding="utf-8"),
        "/*PROGRAM*/": (folder / "page.js").read_text(encoding="utf-8"),
        # "</script>" in a title would end the script.
        "/*STUDY*/": json.dumps(study).replace("<", "\\u003c"),
    }
    text = (folder / "page.html").read_text(encoding="utf-8")
    # At once, so that what is put in is not searched.
    return re.sub(r"/\*(STYLE|PROGRAM|STUDY)\*/", lambda mark: parts[mark[0]], text)


def _write(
    out: pathlib.Path,
    public: Mapping[str, Any],
    key: Mapping[str, Any],
    files: Mapping[str, pathlib.Path],
) -> None:
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        (part / "page" / "videos").mkdir(parents=True)
        # In the order of tokens and without their own times, which would tell the systems apart.
        for token, path in sorted(files.items()):
            videos.copy_anonymously(path, part / "page" / public["videos"][token])
        for file, text in (
            ("page/index.html", page(public)),
            ("page/study.json", strict_json.dumps(public)),
            ("key.json", strict_json.dumps(key)),
        ):
            (part / file).write_text(text, encoding="utf-8")
        part.replace(out)
    except OSError as error:
        raise UserError(
            f"{out} cannot be written: {error.strerror}; free some space or name another folder"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
