"""Landmarks of videos, found by MediaPipe's Holistic Landmarker; `landmarks` describes the file.

Every picture of a video, at its own frame rate, is shown to a detector, which gives

    pose         (33, 3)  x, y in pixels and visibility in [0, 1]
    left_hand    (21, 2)  x, y in pixels; left and right are the speaker's
    right_hand   (21, 2)
    face         (n, 2)   any number of points, none where there is no face

with NaN, or no row, for what it does not find. A box is the smallest one around the points.

Source: https://ai.google.dev/edge/mediapipe/solutions/vision/holistic_landmarker.
"""

import contextlib
import dataclasses
import importlib
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import landmarks, sources, video
from jaxgesture.data.boxes import ABSENT

MODEL_PAGE = "https://ai.google.dev/edge/mediapipe/solutions/vision/holistic_landmarker"

_POSE_POINTS, _HAND_POINTS = 33, 21
_HANDS = ("left_hand", "right_hand")
_PARTIAL = ".partial"


@dataclasses.dataclass(frozen=True)
class Holistic:
    """What is found in one picture, in its pixels; NaN, or no row, for what is not found."""

    pose: Float[np.ndarray, "33 3"]
    left_hand: Float[np.ndarray, "21 2"]
    right_hand: Float[np.ndarray, "21 2"]
    face: Float[np.ndarray, "n 2"]


class Detector(Protocol):
    """Finds a speaker in the pictures of one video, which are shown to it in their order."""

    def detect(self, image: UInt8[np.ndarray, "h w 3"], milliseconds: int) -> Holistic:
        """What is found in a picture; `milliseconds` grows from call to call.

        Raises:
            UserError: it failed on this picture.
        """
        ...


# A detector follows what it found from picture to picture, so every video gets a new one.
OpenDetector = Callable[[], contextlib.AbstractContextManager[Detector]]


def holistic(result: Any, width: int, height: int) -> Holistic:
    """What a result of MediaPipe says, in pixels.

    Args:
        result: a `HolisticLandmarkerResult`: lists of landmarks with x and y as fractions of the
            picture, empty where nothing was found.
        width: of the picture, pixels.
        height: of the picture, pixels.

    Raises:
        UserError: a list has another length; the model is not of the kind that is needed.
    """
    pose = result.pose_landmarks
    visibility = [np.nan if p.visibility is None else p.visibility for p in pose]
    seen = np.reshape(np.array(visibility, np.float64), (-1, 1))
    places = np.concatenate([_points(pose, width, height), seen], axis=1)
    return Holistic(
        pose=_whole(places, _POSE_POINTS, "the pose"),
        left_hand=_hand(result.left_hand_landmarks, width, height),
        right_hand=_hand(result.right_hand_landmarks, width, height),
        face=_points(result.face_landmarks, width, height),
    )


def _points(marks: Sequence[Any], width: int, height: int) -> Float[np.ndarray, "n 2"]:
    return np.reshape([(mark.x * width, mark.y * height) for mark in marks], (-1, 2))


def _hand(marks: Sequence[Any], width: int, height: int) -> Float[np.ndarray, "21 2"]:
    return _whole(_points(marks, width, height), _HAND_POINTS, "a hand")


def _whole(points: np.ndarray, count: int, part: str) -> np.ndarray:
    if not len(points):
        return np.full((count, points.shape[1]), np.nan)
    if len(points) != count:
        raise UserError(
            f"the model gives {len(points)} points for {part}, {count} are expected; use the "
            f"holistic landmarker of {MODEL_PAGE}"
        )
    return points


def box_around(points: Float[np.ndarray, "n 2"], margin: float = 0.0) -> Float[np.ndarray, "4"]:
    """The box x0, y0, x1, y1 around points, wider by `margin` of its longer side all around.

    It is NaN where a point is NaN, there is no point, or the box would be empty.
    """
    if not len(points) or not np.isfinite(points).all():
        return ABSENT.copy()
    low, high = points.min(0), points.max(0)
    reach = margin * (high - low).max()
    found = np.concatenate([low - reach, high + reach]).astype(np.float32)
    return found if (found[:2] < found[2:]).all() else ABSENT.copy()


@contextlib.contextmanager
def open_mediapipe(model: str | os.PathLike[str]) -> Iterator[Detector]:
    """MediaPipe's Holistic Landmarker for one video, on the CPU.

    Args:
        model: the file `holistic_landmarker.task`.

    Raises:
        UserError: mediapipe is not installed or too old, or the model is missing or another file.
    """
    mediapipe, vision, options = _mediapipe()
    path = pathlib.Path(model).expanduser()
    if not path.is_file():
        raise UserError(
            f"there is no model file {path}; download holistic_landmarker.task, which Google "
            f"publishes at {MODEL_PAGE}"
        )
    try:
        landmarker = vision.HolisticLandmarker.create_from_options(
            vision.HolisticLandmarkerOptions(
                base_options=options(model_asset_path=str(path)),
                running_mode=vision.RunningMode.VIDEO,
            )
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(
            f"MediaPipe cannot use {path} ({_short(error)}); download holistic_landmarker.task "
            f"again from {MODEL_PAGE}"
        ) from error
    with contextlib.closing(landmarker):
        yield _MediaPipeDetector(mediapipe, landmarker)


def _mediapipe() -> tuple[Any, Any, Any]:
    """The modules `mediapipe` and `vision` of its tasks, and its class of options."""
    install = 'pip install "jaxgesture[landmarks]"'
    try:
        mediapipe: Any = importlib.import_module("mediapipe")
        tasks: Any = importlib.import_module("mediapipe.tasks.python")
        vision: Any = importlib.import_module("mediapipe.tasks.python.vision")
    except ModuleNotFoundError as error:
        raise UserError(f"landmarks are found by {error.name}; {install}") from error
    except (ImportError, OSError) as error:
        raise UserError(
            f"mediapipe is installed but cannot be loaded ({_short(error)}); install what it "
            f"names, or {install} anew"
        ) from error
    if not hasattr(vision, "HolisticLandmarker"):
        raise UserError(f"this version of mediapipe has no HolisticLandmarker; {install} --upgrade")
    return mediapipe, vision, tasks.BaseOptions


class _MediaPipeDetector:
    def __init__(self, mediapipe: Any, landmarker: Any):
        self._mediapipe, self._landmarker = mediapipe, landmarker

    def detect(self, image: UInt8[np.ndarray, "h w 3"], milliseconds: int) -> Holistic:
        height, width = image.shape[:2]
        picture = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image)
        )
        try:
            result = self._landmarker.detect_for_video(picture, milliseconds)
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"MediaPipe failed at {milliseconds / 1000:.2f} s ({_short(error)}); convert the "
                "video and try again"
            ) from error
        return holistic(result, width, height)


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__


def find_landmarks(
    path: str | os.PathLike[str],
    detector: Detector,
    progress: Callable[[int], Any] | None = None,
) -> dict[str, np.ndarray]:
    """The landmarks of a video, as `landmarks.read` wants them: one row for every picture.

    A video of a variable frame rate is shown at its mean rate.

    Args:
        path: the video.
        detector: a new one.
        progress: called with 1 after every picture.

    Returns:
        "pose" (t, 33, 3), "left_hand" and "right_hand" (t, 21, 2), and "left_hand_box",
        "right_hand_box" and "face_box" (t, 4), float32 in pixels of the picture as shown, NaN where
        not found; "fps", float64, rows a second.

    Raises:
        UserError: the video cannot be read, or the detector failed.
    """
    fps = video.probe(path).fps
    rows: dict[str, list[np.ndarray]] = {name: [] for name in ("pose", *_HANDS)}
    faces: list[np.ndarray] = []
    last = -1
    for number, image in enumerate(video.read_frames(path, fps=fps, size=None, crop=None)):
        # Two pictures within a millisecond would have one time, which MediaPipe refuses.
        last = max(last + 1, round(number * 1000 / fps))
        found = detector.detect(image, last)
        for name, values in rows.items():
            values.append(getattr(found, name).astype(np.float32))
        # Of the face only the box is kept: its points are many.
        faces.append(box_around(found.face))
        if progress is not None:
            progress(1)
    arrays = {name: np.stack(values) for name, values in rows.items()}
    for hand in _HANDS:
        arrays[f"{hand}_box"] = np.stack([box_around(p) for p in rows[hand]])
    return {**arrays, "face_box": np.stack(faces), "fps": np.array(fps)}


@dataclasses.dataclass
class LandmarksReport:
    """What became of the videos.

    Attributes:
        made: videos whose file was written.
        kept: videos that had one.
        pictures: rows of all these files.
        found: part -> number of rows that have its box.
        skipped: video -> the reason why it has no file.
        warnings: what was usable only in part.
    """

    made: list[str] = dataclasses.field(default_factory=list)
    kept: list[str] = dataclasses.field(default_factory=list)
    pictures: int = 0
    found: dict[str, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys((*_HANDS, "face"), 0)
    )
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def lines(self) -> list[str]:
        """The report as lines to print."""
        total = len(self.made) + len(self.kept) + len(self.skipped)
        lines = [
            f"{total} videos: landmarks made for {len(self.made)}, kept for {len(self.kept)}, "
            f"{len(self.skipped)} skipped",
            f"pictures     {self.pictures}",
        ]
        for part, count in self.found.items():
            share = f"{count / self.pictures:6.1%}" if self.pictures else "none"
            lines.append(f"{part.replace('_', ' '):<10} {share} of the pictures")
        width = max(map(len, self.skipped), default=0)
        lines += [f"skipped  {name:<{width}}  {why}" for name, why in self.skipped.items()]
        return lines + [f"warning: {text}" for text in self.warnings]

    def _count(self, boxes: Float[np.ndarray, "n k 4"]) -> None:
        self.pictures += len(boxes)
        for number, part in enumerate(self.found):
            self.found[part] += int(np.isfinite(boxes[:, number]).all(-1).sum())


def make_landmarks(
    videos: str | os.PathLike | Iterable[str | os.PathLike],
    open_detector: OpenDetector,
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> LandmarksReport:
    """Writes NAME.landmarks.npz beside every video NAME.mp4; bad videos are listed, not fatal.

    A file appears when it is whole. Called again, it goes on with the videos that have none.

    Args:
        videos: a folder (searched with its subfolders), a file, or a list of files.
        open_detector: opens a detector for one video, such as
            `functools.partial(open_mediapipe, model)`.
        overwrite: make files anew that are there.
        progress: show a progress bar.

    Returns:
        What was made, what was kept, how often hands and face were found, and what was left out.

    Raises:
        UserError: no such video, no detector, or nothing was usable.
        OSError: a file cannot be written, for want of space.
    """
    from tqdm import tqdm

    found = sources.find_videos(videos)
    report = LandmarksReport()
    owners: dict[pathlib.Path, str] = {}
    with tqdm(unit="picture", disable=not progress) as bar:
        for number, (name, path) in enumerate(found.items()):
            bar.set_description(f"video {number + 1} of {len(found)}")
            target = path.with_suffix(landmarks.SUFFIX)
            owner = owners.setdefault(target, name)
            if owner != name:
                report.skipped[name] = f"{target.name} belongs to {owner}; rename one of the two"
                continue
            try:
                if overwrite or not target.exists():
                    with _warnings_to(report, name):
                        _make(path, target, open_detector, bar.update)
                    done = report.made
                else:
                    done = report.kept
                report._count(landmarks.read(target).boxes)
                done.append(name)
            except _CannotOpen as error:
                raise UserError(str(error)) from error
            except UserError as error:
                again = "" if overwrite or not target.exists() else "; --overwrite does it"
                report.skipped[name] = f"{error}{again}"
    if not report.made and not report.kept:
        reasons = "; ".join(f"{name}: {why}" for name, why in report.skipped.items())
        raise UserError(f"no video was usable ({reasons})")
    return report


class _CannotOpen(Exception):
    """There is no detector, whatever the video."""


def _make(
    path: pathlib.Path,
    target: pathlib.Path,
    open_detector: OpenDetector,
    progress: Callable[[int], Any],
) -> None:
    video.probe(path)
    partial = target.with_name(target.name + _PARTIAL)
    try:
        # Before the work, which may take hours.
        stream = partial.open("wb")
    except OSError as error:
        raise UserError(
            f"{target} cannot be written ({error.strerror}); copy the video to a folder of yours"
        ) from error
    try:
        with stream, contextlib.ExitStack() as stack:
            try:
                detector = stack.enter_context(open_detector())
            except UserError as error:
                raise _CannotOpen(str(error)) from error
            arrays: dict[str, Any] = find_landmarks(path, detector, progress)
            np.savez_compressed(stream, **arrays)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _warnings_to(report: LandmarksReport, name: str) -> Iterator[None]:
    """Puts `DataWarning`s into the report; others go on as usual."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        yield
    for one in caught:
        if issubclass(one.category, DataWarning):
            report.warnings.append(f"{name}: {one.message}")
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
