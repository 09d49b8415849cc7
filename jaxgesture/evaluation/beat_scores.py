"""Beat alignments of all clips of all sets, once their joints and beats are known."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from jaxgesture.evaluation import gestures
from jaxgesture.evaluation.clip_scores import REFERENCE, ClipScores
from jaxgesture.evaluation.video_sets import ARMS, FPS

Note = Callable[[str, str, str], None]


def align(sets: Mapping[str, Mapping[str, ClipScores]], note: Note) -> gestures.Scale | None:
    """Fills in the alignments of every clip with its own speech, and with that of another clip.

    Args:
      sets: label -> clips by name; `REFERENCE` are the true ones, which give the scale.
      note: takes what could not be done: label, name, text.

    Returns:
      the scale; None where no true clip has joints.
    """
    true = {n: c for n, c in sets[REFERENCE].items() if c.joints is not None}
    if not true:
        return None
    in_sides = next(iter(true.values())).in_sides
    for label, clips in sets.items():
        for clip in clips.values():
            if clip.joints is not None and clip.in_sides != in_sides:
                clip.joints = None
                text = "landmarks with a video and without one have other scales: no beats"
                note(label, clip.name, text)
    known = [clip.joints for clip in true.values() if clip.joints is not None]
    judge = _Judge(
        gestures.scale_of(known, ARMS, FPS),
        {
            name: gestures.mean_profile([(clip.joints, clip.beats)], ARMS, FPS)
            for name, clip in true.items()
            if clip.joints is not None and clip.beats is not None
        },
    )
    for clips in sets.values():
        heard = [c for c in clips.values() if c.joints is not None and c.beats is not None]
        for number, clip in enumerate(heard):
            clip.alignment = judge(clip, clip.beats)
            if len(heard) > 1:
                clip.other = judge(clip, heard[(number + len(heard) // 2) % len(heard)].beats)
    return judge.scale


class _Judge:
    """Scores of one clip's motion.

    Attributes:
      scale: of the corpus.
      curves: speed of the hands around the beats, of each true clip.
    """

    def __init__(self, scale: gestures.Scale, curves: Mapping[str, Float[np.ndarray, "k"]]) -> None:
        self.scale, self.curves = scale, curves

    def __call__(self, clip: ClipScores, beats: Float[np.ndarray, "b"] | None) -> dict[str, float]:
        assert clip.joints is not None and beats is not None
        inside = beats[beats < len(clip.joints) / FPS]
        found = gestures.alignments(clip.joints, ARMS, inside, FPS, self.scale)
        # Held against its own curve, a motion would respond to anything.
        others = [curve for name, curve in self.curves.items() if name != clip.name]
        if len(inside) and others:
            found["beat_response"] = gestures.beat_response(
                clip.joints, ARMS, inside, FPS, gestures.mean_curve(others)
            )
        return {name: value for name, value in found.items() if not math.isnan(value)}
