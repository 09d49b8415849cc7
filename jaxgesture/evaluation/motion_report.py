"""Generated motion beside its controls, on held-out speech: a table, its protocol and a picture.

Rows: the true motion; motion that each model generated for the clip's own speech; the same motion
held against the speech of every other clip ("other speech", what chance gives a lively model); and
motion generated without speech. All are read by one probe from motion features.
"""

import dataclasses
import itertools
import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxgesture.core import strict_json
from jaxgesture.core.errors import UserError
from jaxgesture.evaluation import gestures
from jaxgesture.evaluation.bootstrap import Interval, bootstrap
from jaxgesture.evaluation.plots import COLOURS, INK, MUTED

COLUMNS: Mapping[str, str] = {
    "ha2g_bc": "HA2G BC",
    "emage_bc": "EMAGE BC",
    "bailando_bas": "Bailando BAS",
    "beat_response": "beat response",
    "speed_correlation": "hand speed, r",
    "jitter": "jitter",
    "seam_jump": "seam jump",
    "diversity": "diversity",
}
LEGEND = (
    "HA2G BC (angles at shoulders and elbows, in the picture's plane), EMAGE BC and Bailando "
    "BAS (of elbows and wrists, as far as they are known): beat alignment by three published "
    "definitions, 0 to 1, the joints interpolated to 15, 30 and 60 frames a second; what they "
    "divide by is measured on the true motion of training clips, and clips weigh alike. They "
    "reward hands that slow down exactly at the beats; where the true hands do otherwise, the "
    "true motion scores no more than chance (other speech), and less is not worse.",
    "beat response: how far the hands' speed, in units of the clip's mean, rises and falls "
    "around the beats as that of the true motion of training clips does on average (projection "
    "of the one curve on the other): 1 as far, 0 not at all.",
    "hand speed, r: correlation of the hands' speed with that of the true hands.",
    "jitter: jerk of the hands, 1 is the mean of the true motion.",
    "seam jump: step of the motion feature across the seams of segments, in usual steps from "
    "frame to frame; of the true motion at the same places.",
    "diversity: mean distance of the hands in percent of the frame; of a model between its "
    "seeds for the same speech, of the true motion between clips.",
)
TRUE, OWN, OTHER, SILENT = "true", "own", "other", "silent"
_OF_BEATS = (*gestures.ALIGNMENTS, "beat_response")


@dataclasses.dataclass(frozen=True)
class Clip:
    """A held-out clip.

    Attributes:
      exact: its joints, (t, j, 2) in fractions of the frame; nan where they are not seen.
      beats: of its speech, seconds.
    """

    exact: Float[np.ndarray, "t j 2"]
    beats: Float[np.ndarray, "b"]


@dataclasses.dataclass(frozen=True)
class Corpus:
    """What all rows are measured with.

    Attributes:
      clips: the held-out ones.
      joints: names of the joints.
      fps: frames a second.
      scale: of the alignments.
      profile: speed of the hands at `gestures.LAGS` after the beats, of the true motion of other
        clips.
      read: motion features (t, d) -> joints (t, j, 2).
    """

    clips: Sequence[Clip]
    joints: tuple[str, ...]
    fps: float
    scale: gestures.Scale
    profile: Float[np.ndarray, "k"]
    read: Callable[[np.ndarray], np.ndarray]


Row = dict[str, list[float]]


class Table:
    """Rows that grow model by model: one value a clip in each column, nan where there is none.

    Attributes:
      rows: label -> column -> one value a clip.
      kinds: label -> `TRUE`, `OWN`, `OTHER` or `SILENT`.
      others: label -> label of the same motion against other speech.
      profiles: label -> speed of the hands at `gestures.LAGS` after the beats, 1 is their mean.
    """

    def __init__(self, corpus: Corpus, true: Sequence[Float[np.ndarray, "_ d"]], segment: int):
        """Begins with the rows of the true motion features; their seams are every `segment`."""
        if len(corpus.clips) < 2:
            raise UserError(
                "one clip has no other to be held against; hold out at least two clips with sound"
            )
        self.corpus = corpus
        self.rows: dict[str, Row] = {}
        self.kinds: dict[str, str] = {}
        self.others: dict[str, str] = {}
        self.profiles: dict[str, np.ndarray] = {}
        self._jerk = float(np.mean([self._jitter(corpus.read(motion)) for motion in true]))
        self._add("true motion", TRUE, [true], segment)

    def add(
        self,
        label: str,
        own: Sequence[Sequence[Float[np.ndarray, "_ d"]]],
        without_speech: Sequence[Float[np.ndarray, "_ d"]] | None = None,
        *,
        segment: int,
    ) -> None:
        """Adds the rows of a model.

        Args:
          label: of the model.
          own: for each seed the motion features generated for each clip's speech.
          without_speech: those generated without it.
          segment: frames of the model's segments.
        """
        self._add(label, OWN, own, segment)
        if without_speech is not None:
            self._add(f"{label}, without speech", SILENT, [without_speech], segment)

    def _jitter(self, positions: np.ndarray) -> float:
        return gestures.jitter(positions, self.corpus.joints, self.corpus.fps)

    def _add(
        self, label: str, kind: str, seeds: Sequence[Sequence[np.ndarray]], segment: int
    ) -> None:
        corpus = self.corpus
        read = [[corpus.read(motion) for motion in motions] for motions in seeds]
        everyone = range(len(corpus.clips))
        row = _mean_rows([self._judge(positions, [[i] for i in everyone]) for positions in read])
        jerks = [[self._jitter(clip) for clip in positions] for positions in read]
        row["jitter"] = (np.mean(jerks, axis=0) / self._jerk).tolist()
        seams = [[gestures.seam_jump(motion, segment) for motion in motions] for motions in seeds]
        row["seam_jump"] = np.mean(seams, axis=0).tolist()
        row["diversity"] = self._diversity(read, kind)
        self.rows[label], self.kinds[label] = row, kind
        pairs = zip(sum(read, []), [clip.beats for clip in corpus.clips] * len(read), strict=True)
        self.profiles[label] = gestures.mean_profile(list(pairs), corpus.joints, corpus.fps)
        if kind != SILENT:
            other = self.others[label] = f"{label}, other speech"
            others = [[j for j in everyone if j != i] for i in everyone]
            self.rows[other] = _mean_rows([self._judge(positions, others) for positions in read])
            self.kinds[other] = OTHER

    def _judge(self, positions: Sequence[np.ndarray], against: Sequence[Sequence[int]]) -> Row:
        """Row of each clip's motion against the beats and hands of the clips named for it."""
        corpus = self.corpus
        row: Row = {}
        for number, (clip, numbers) in enumerate(zip(positions, against, strict=True)):
            found: dict[str, list[float]] = {}
            for held in (corpus.clips[j] for j in numbers):
                scores = gestures.alignments(
                    clip, corpus.joints, held.beats, corpus.fps, corpus.scale
                )
                scores["beat_response"] = gestures.beat_response(
                    clip, corpus.joints, held.beats, corpus.fps, corpus.profile
                )
                scores["speed_correlation"] = gestures.speed_correlation(
                    clip, held.exact, corpus.joints, corpus.fps
                )
                for name, value in scores.items():
                    found.setdefault(name, []).append(value)
            for name, values in found.items():
                # A clip without beats is left out of all rows alike.
                silent = name in _OF_BEATS and not len(corpus.clips[number].beats)
                seen = [] if silent else [value for value in values if not math.isnan(value)]
                row.setdefault(name, []).append(float(np.mean(seen)) if seen else math.nan)
        return row

    def _diversity(self, seeds: Sequence[Sequence[np.ndarray]], kind: str) -> list[float]:
        joints = self.corpus.joints
        if kind == TRUE:
            clips = seeds[0]
            pairs = [[(a, b) for b in clips if b is not a] for a in clips]
        else:
            pairs = [
                [(a, b) for i, a in enumerate(same) for b in same[i + 1 :]]
                for same in zip(*seeds, strict=True)
            ]
        return [
            100 * float(np.mean([gestures.hand_distance(a, b, joints) for a, b in some]))
            if some
            else math.nan
            for some in pairs
        ]

    def intervals(self) -> dict[str, dict[str, Interval]]:
        """Mean over clips with its 95 % interval: label -> column -> interval."""
        return {
            label: {name: bootstrap(values) for name, values in row.items()}
            for label, row in self.rows.items()
        }

    def gains(self, label: str) -> dict[str, Interval]:
        """How much more than against other speech a motion has, clip by clip: own less other."""
        own, other = self.rows[label], self.rows[self.others[label]]
        return {name: bootstrap(np.subtract(own[name], other[name])) for name in other}


def _mean_rows(rows: Sequence[Row]) -> Row:
    return {name: np.mean([row[name] for row in rows], axis=0).tolist() for name in rows[0]}


def markdown(table: Table, caption: Sequence[str]) -> str:
    """The table and its caption."""
    found = table.intervals()
    columns = [c for c in COLUMNS if any(_known(row.get(c)) for row in found.values())]
    lines = [
        "| | " + " | ".join(COLUMNS[c] for c in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for label, row in found.items():
        lines.append(f"| {label} | " + " | ".join(_cell(row.get(c)) for c in columns) + " |")
    for label in table.others:
        gains = table.gains(label)
        cells = [_cell(gains.get(c), sign=True) for c in columns]
        lines.append(f"| {label}, own less other speech | " + " | ".join(cells) + " |")
    return "\n".join((*lines, "", *(f"- {line}" for line in (*caption, *LEGEND)))) + "\n"


def to_json(table: Table, protocol: Mapping[str, Any]) -> str:
    """Values of every clip, means with intervals, profiles and protocol."""
    found = {
        "rows": {
            label: {name: dict(i._asdict()) for name, i in row.items()}
            for label, row in table.intervals().items()
        },
        "clips": table.rows,
        "lags": gestures.LAGS.round(3).tolist(),
        "profiles": {label: values.tolist() for label, values in table.profiles.items()},
        "protocol": protocol,
    }
    return strict_json.dumps(found)


def picture(table: Table, path: str | os.PathLike) -> None:
    """Draws the mean speed of the hands around the beats of their own speech."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7.2, 3.8), layout="constrained")
    colours, colour = itertools.cycle(COLOURS), INK
    for label, values in table.profiles.items():
        kind = table.kinds[label]
        if kind == OWN:  # motion without speech has the colour of its model
            colour = next(colours)
        style, width = "--" if kind == SILENT else "-", 2.6 if kind == TRUE else 1.6
        axis.plot(gestures.LAGS, values, style, color=colour, linewidth=width, label=label)
    axis.axhline(1, color=MUTED, linewidth=0.8)
    axis.axvline(0, color=MUTED, linewidth=0.8)
    axis.set_xlabel("seconds after a beat of the speech", color=INK)
    axis.set_ylabel("speed of the hands, 1 = their mean", color=INK)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)
    figure.savefig(pathlib.Path(path), dpi=110)
    plt.close(figure)


def _known(value: Interval | None) -> bool:
    return value is not None and not math.isnan(value.mean)


def _cell(value: Interval | None, *, sign: bool = False) -> str:
    if value is None or math.isnan(value.mean):
        return "-"
    places = 3 if abs(value.mean) < 10 else 1
    mean = f"{value.mean:+.{places}f}" if sign else f"{value.mean:.{places}f}"
    if math.isnan(value.low):
        return mean
    return f"{mean} [{value.low:.{places}f}, {value.high:.{places}f}]"
