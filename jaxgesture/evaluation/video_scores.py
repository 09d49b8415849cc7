"""Measures sets of videos against a set of true ones, clip by clip.

Every clip is read, measured and forgotten: of pictures only those that are compared are held, and
only until the next clip; of a clip its scores, joints and features. What goes wrong with a clip is
a problem of that clip, and the others are measured.
"""

import collections
import contextlib
import math
import pathlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import landmarks, pose_vectors
from jaxgesture.data.landmarks import Pose
from jaxgesture.evaluation import comparison, fvd, landmark_distance, video_sets
from jaxgesture.evaluation.beat_scores import align
from jaxgesture.evaluation.clip_scores import (
    MOTION,
    POSE,
    REFERENCE,
    STRIDE,
    VIDEO,
    ClipScores,
    Measured,
    Tools,
)
from jaxgesture.evaluation.landmark_distance import UPPER_BODY
from jaxgesture.evaluation.reconstruction import Clip, Reconstruction
from jaxgesture.evaluation.stopwatch import Stopwatch
from jaxgesture.evaluation.video_sets import FPS, Picture, Recording

_HANDS = slice(0, 2)  # of the boxes
# Landmarks that cover less of a clip say nothing of it.
_LEAST_COVERED = 0.8


def measure(
    systems: Mapping[str, Mapping[str, Recording]],
    reference: Mapping[str, Recording],
    tools: Tools,
    tick: Callable[[str], object] = lambda name: None,
) -> Measured:
    """Measures every clip of every system, and of the reference.

    Args:
      systems: label -> recordings by name.
      reference: the true recordings.
      tools: what is measured.
      tick: called with its name for each clip that is done.

    Raises:
      UserError: nothing could be measured at all; the first reason is named.
    """
    return _Run(systems, reference, tools, tick).measured()


class _Run:
    def __init__(self, systems, reference, tools: Tools, tick):
        self.sets: dict[str, Mapping[str, Recording]] = {REFERENCE: reference, **systems}
        self.tools, self.tick = tools, tick
        self.watch = Stopwatch()
        self.problems: collections.Counter[str] = collections.Counter()
        self.scores: dict[str, dict[str, ClipScores]] = {label: {} for label in self.sets}
        self.heard: tuple[pathlib.Path | None, np.ndarray] = (None, np.zeros(0))

    def measured(self) -> Measured:
        names = dict.fromkeys(name for clips in self.sets.values() for name in clips)
        for name in sorted(names):
            self._clips_of(name)
            self.tick(name)
        if not any(_something(clip) for clips in self.scores.values() for clip in clips.values()):
            why = next(iter(self.problems), "the sets have nothing in common that can be compared")
            raise UserError(f"nothing could be measured: {why}")
        with self.watch("beat alignment"):
            scale = align(self.scores, self._note)
        reference = self.sets[REFERENCE]
        return Measured(
            self.scores,
            {
                label: [name for name in clips if name in reference]
                for label, clips in self.sets.items()
                if label != REFERENCE
            },
            {label: dict(clips) for label, clips in self.sets.items()},
            self.problems,
            self.watch.seconds,
            scale,
        )

    def _note(self, label: str, name: str, text: str) -> None:
        """A problem of a clip; the same one again is counted."""
        self.problems[f"{label}: {name}: {text}"] += 1

    @contextlib.contextmanager
    def _noting(self, label: str, name: str) -> Iterator[None]:
        """What goes wrong within is a problem of that clip, and nothing more."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            try:
                yield
            except (UserError, OSError, MemoryError) as error:
                self._note(label, name, str(error) or type(error).__name__)
        for warning in caught:
            if issubclass(warning.category, DataWarning):
                self._note(label, name, str(warning.message))
            else:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )

    def _clips_of(self, name: str) -> None:
        """Measures what all sets have of one name."""
        pictures: dict[str, Picture] = {}
        for label, clips in self.sets.items():
            recording = clips.get(name)
            if recording is None:
                continue
            self.scores[label][name] = ClipScores(name, recording.speaker)
            if recording.video is not None:
                with self._noting(label, name), self.watch("reading"):
                    pictures[label] = video_sets.look(recording.video)
        truth = pictures.get(REFERENCE)
        counts = {
            label: picture.frames if truth is None else min(picture.frames, truth.frames)
            for label, picture in pictures.items()
        }
        picks: dict[str, list[int]] = {label: [] for label in pictures}
        for label, count in counts.items():
            self._compare_lengths(label, name, pictures, counts)
            if truth is not None and label != REFERENCE:
                spread = np.linspace(0, count - 1, min(self.tools.frames, count))
                picks[label] = np.unique(spread.astype(int)).tolist()
        if truth is not None:
            picks[REFERENCE] = sorted({number for chosen in picks.values() for number in chosen})
        true_frames: dict[int, np.ndarray] = {}
        poses: dict[str, Pose] = {}
        for label in self.sets:
            if name not in self.scores[label]:
                continue
            recording, clip = self.sets[label][name], self.scores[label][name]
            picture = pictures.get(label)
            if picture is not None:
                shown = self._frames(label, recording, picture, picks[label], clip)
                if label == REFERENCE:
                    true_frames = shown
                elif true_frames:
                    self._pictures(label, clip, shown, true_frames, pictures[REFERENCE])
            pose = self._pose(label, recording, picture)
            if pose is not None:
                poses[label] = pose
                self._body(label, pose, picture, clip)
            self._speech(label, name, recording, clip)
            self._motion(label, recording, clip)
        self._landmarks(name, poses, pictures)

    def _compare_lengths(self, label, name, pictures, counts) -> None:
        truth = pictures.get(REFERENCE)
        if truth is None or label == REFERENCE:
            return
        picture = pictures[label]
        if abs(picture.frames - truth.frames) > 1:
            self._note(
                label, name,
                f"{picture.frames / FPS:.2f} s, the true one has {truth.frames / FPS:.2f} s: the "
                f"first {counts[label] / FPS:.2f} s are compared",
            )  # fmt: skip
        if abs(picture.side - truth.side) > 0:
            self._note(
                label,
                name,
                f"{picture.side:g} pixels, the true one {truth.side:g}: both are "
                f"resized to {self.tools.size}",
            )
        if abs(picture.fps - truth.fps) > 0.01:
            self._note(
                label,
                name,
                f"{picture.fps:g} frames a second, the true one {truth.fps:g}: of "
                f"both those nearest to {FPS:g} a second are compared",
            )

    def _frames(
        self, label: str, recording: Recording, picture: Picture, picks: Sequence[int],
        clip: ClipScores,
    ) -> dict[int, UInt8[np.ndarray, "h w 3"]]:  # fmt: skip
        """Reads the frames that are compared, and on the way those of the windows for FVD."""
        assert recording.video is not None
        network = self.tools.features.get(VIDEO)
        starts: Sequence[int] = []
        if network is not None:
            starts = fvd.clip_windows(picture.frames, self.tools.video_windows).tolist()
        inside = {start + k for start in starts for k in range(fvd.FRAMES)}
        frames: dict[int, np.ndarray] = {}
        with self._noting(label, recording.name):
            with self.watch("reading"):
                frames = video_sets.read(recording.video, inside | set(picks), self.tools.size)
            whole = [s for s in starts if all(s + k in frames for k in range(fvd.FRAMES))]
            if network is not None and whole:
                windows = np.stack(
                    [np.stack([frames[s + k] for k in range(fvd.FRAMES)]) for s in whole]
                )
                with self.watch("FVD features"):
                    clip.features[VIDEO] = np.asarray(network(windows), np.float32)
            if network is not None and len(whole) < max(1, len(starts)):
                self._note(
                    label,
                    recording.name,
                    f"{len(whole)} of {max(1, len(starts))} windows of "
                    f"{fvd.FRAMES} frames are there for FVD",
                )
        return {number: frames[number] for number in picks if number in frames}

    def _pictures(
        self, label: str, clip: ClipScores, shown: Mapping[int, np.ndarray],
        true: Mapping[int, np.ndarray], picture: Picture,
    ) -> None:  # fmt: skip
        numbers = [number for number in true if number in shown]
        if len(numbers) < 2 or not self.tools.metrics:
            return
        boxes = None
        file = self.sets[REFERENCE][clip.name].landmarks
        if file is not None:
            with self._noting(REFERENCE, clip.name):
                boxes = video_sets.read_boxes(file, picture, numbers[-1] + 1)[numbers]
        with self._noting(label, clip.name):
            frames = np.stack([true[number] for number in numbers])
            generated = np.stack([shown[number] for number in numbers]).astype(np.float32) / 255
            # The first frame stands for the source picture, so it is not compared.
            wrong = np.roll(generated[1:], len(numbers) // 2, axis=0)
            rest = None if boxes is None else boxes[1:]
            pair = Clip(frames[0], frames[1:], None, rest)
            item = Reconstruction(pair, generated[1:], wrong)
            for metric, function in self.tools.metrics.items():
                with self.watch(metric.upper()):
                    found = comparison.judge(item, {metric: function})
                comparison.merge(clip.regions, found)

    def _pose(self, label: str, recording: Recording, picture: Picture | None) -> Pose | None:
        """The body's landmarks, as long as the video; None where there are none to use."""
        if recording.landmarks is None:
            return None
        pose = None
        with self._noting(label, recording.name), self.watch("poses"):
            pose = landmarks.read_pose(recording.landmarks)
        if pose is None:
            return None
        if not np.isfinite(pose.points[:, list(UPPER_BODY), :2]).any():
            self._note(label, recording.name, "its landmarks hold no body: no poses, no beats")
            return None
        if picture is None:
            if recording.video is None:
                return pose
            self._note(label, recording.name, "without its video its landmarks have no scale")
            return None
        length, own = picture.frames / FPS, len(pose.points) / pose.fps
        if abs(own - length) > max(1 / pose.fps, 2 / FPS):
            self._note(
                label, recording.name,
                f"its landmarks last {own:.2f} s, its video {length:.2f} s: what both have is used",
            )  # fmt: skip
        return Pose(pose.points[: max(1, math.ceil(length * pose.fps))], pose.fps)

    def _body(self, label: str, pose: Pose, picture: Picture | None, clip: ClipScores) -> None:
        """Joints, and features of poses."""
        with self._noting(label, clip.name):
            with self.watch("poses"):
                clip.joints = video_sets.arms(video_sets.points_of(pose, picture))
                clip.in_sides = picture is not None
                if clip.joints is None:
                    text = "the arms are not known for more than a second: no beat alignment"
                    self._note(label, clip.name, text)
                vectors = pose_vectors.pose_vectors(pose_vectors.steady(pose))
            self._windows(label, POSE, vectors, clip, "all joints known, at 15 frames a second")

    def _windows(
        self, label: str, kind: str, rows: np.ndarray, clip: ClipScores, what: str
    ) -> None:
        """Features of the windows of a clip's rows."""
        network = self.tools.features.get(kind)
        if network is None:
            return
        windows = pose_vectors.windows(rows, stride=STRIDE)
        if not len(windows):
            text = f"no {pose_vectors.WINDOW} frames in a row with {what}: not in FGD"
            self._note(label, clip.name, text)
            return
        with self.watch("FGD features"):
            clip.features[kind] = np.asarray(network(windows), np.float32)

    def _speech(self, label: str, name: str, recording: Recording, clip: ClipScores) -> None:
        """The beats of the recording's own speech, or of what another set has for it."""
        if clip.joints is None:
            return
        # The true one comes first among the others.
        others = [clips[name] for clips in self.sets.values() if name in clips]
        source = next(filter(None, map(video_sets.speech_of, (recording, *others))), None)
        if source is None:
            self._note(label, name, "no sound, of its own or true: no beat alignment")
            return
        with self._noting(label, name), self.watch("beats of the speech"):
            beats = self._beats(source)
            inside = beats[beats < len(clip.joints) / FPS]
            if len(inside):
                clip.beats = inside
            else:
                self._note(label, name, "no beat of the speech within the clip: no beat alignment")

    def _beats(self, source: pathlib.Path) -> np.ndarray:
        """Beats of a file; systems without sound of their own share it, so the last are kept."""
        if self.heard[0] != source:
            self.heard = (source, video_sets.beats(source))
        return self.heard[1]

    def _motion(self, label: str, recording: Recording, clip: ClipScores) -> None:
        if MOTION in self.tools.features and recording.motion is not None:
            with self._noting(label, clip.name):
                rows = video_sets.read_motion(recording.motion)
                self._windows(label, MOTION, rows, clip, "motion features")

    def _landmarks(
        self, name: str, poses: Mapping[str, Pose], pictures: Mapping[str, Picture]
    ) -> None:
        """Distances of landmarks, and missing hands, of all systems that have them."""
        truth = self.sets[REFERENCE].get(name)
        if truth is None or truth.landmarks is None:
            return
        picture = pictures.get(REFERENCE)
        for label, clips in self.sets.items():
            own = clips.get(name)
            if label == REFERENCE or own is None or own.landmarks is None:
                continue
            shown = pictures.get(label)
            if (picture is None) != (shown is None):
                text = "landmarks with a video and without one have other scales: no distance"
                self._note(label, name, text)
                continue
            clip = self.scores[label][name]
            with self._noting(label, name), self.watch("landmarks"):
                if label in poses and REFERENCE in poses:
                    self._distance(label, clip, poses, pictures)
                if shown is not None and picture is not None:
                    self._hands(clip, own.landmarks, truth.landmarks, (shown, picture))

    def _hands(
        self, clip: ClipScores, own: pathlib.Path, true: pathlib.Path,
        pictures: tuple[Picture, Picture],
    ) -> None:  # fmt: skip
        """Missing hands, over the frames that both files of landmarks speak of."""
        if landmarks.are_guesses(own):
            return
        found = [landmarks.read(file) for file in (own, true)]
        whole = min(picture.frames for picture in pictures)
        count = min(whole, *(round(marks.seconds * FPS) for marks in found))
        if count >= _LEAST_COVERED * whole:
            boxes = [marks.at(FPS, count)[:, _HANDS] for marks in found]
            clip.hands = landmark_distance.missing_hands(*boxes)

    def _distance(
        self, label: str, clip: ClipScores, poses: Mapping[str, Pose],
        pictures: Mapping[str, Picture],
    ) -> None:  # fmt: skip
        found, true = (
            video_sets.points_of(poses[which], pictures.get(which)) for which in (label, REFERENCE)
        )
        picture, shown = pictures.get(REFERENCE), pictures.get(label)
        count = min(len(true), len(found))
        whole = max(len(true), len(found))
        if picture is not None and shown is not None:
            whole = min(picture.frames, shown.frames)
        if count < _LEAST_COVERED * whole:
            text = (
                f"landmarks of both for {count / FPS:.2f} of {whole / FPS:.2f} s: no landmark "
                "distance, no missing hands"
            )
            self._note(label, clip.name, text)
            return
        side = picture.side if picture is not None else 1.0
        unit = np.array([side, side, 1.0])
        clip.distance = landmark_distance.landmark_distance(
            found[:count] * unit, true[:count] * unit
        )


def _something(clip: ClipScores) -> bool:
    known = (clip.distance, clip.joints)
    return bool(clip.regions or clip.features) or any(value is not None for value in known)
