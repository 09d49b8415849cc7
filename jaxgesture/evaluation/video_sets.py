"""Sets of videos to compare: which files belong together, and what is read of them.

A set is a folder, searched with its subfolders. What belongs to one recording has one name:

    NAME.mp4             pictures and sound (or any other video)
    NAME.wav             the sound, where the video has none
    NAME.landmarks.npz   landmarks of the body, hands and face, see `data.landmarks`
    NAME.npz             motion features, as `generate --format=motion` writes them
    NAME.beats.txt       beats of the speech, seconds, one a line, where they are known better than
                         from the sound

Recordings of two sets are a pair where their names, with folders, are the same. The folder that a
recording lies in, if it is not the set's own, is its speaker.
"""

import dataclasses
import math
import os
import pathlib
import warnings
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, UInt8

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import boxes as boxing
from jaxgesture.data import image, landmarks, pose_vectors, sound, sources, video
from jaxgesture.data.landmarks import Pose

FPS = 25.0
BEATS = ".beats.txt"
_MOTION = ".npz"
# What alone makes no recording.
_BESIDE = {"sound", "beats"}
ARMS = (
    "neck", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow",
    "right_wrist",
)  # fmt: skip
# A joint that is unknown for longer is not made up.
_LONGEST_GAP = 1.0


@dataclasses.dataclass(frozen=True)
class Recording:
    """The files of one recording; None for what is not there.

    Attributes:
      name: with the folders below that of the set, without suffix.
      video: pictures, and maybe sound.
      sound: of its own.
      landmarks: of the video.
      motion: motion features.
      beats: of the speech.
    """

    name: str
    video: pathlib.Path | None = None
    sound: pathlib.Path | None = None
    landmarks: pathlib.Path | None = None
    motion: pathlib.Path | None = None
    beats: pathlib.Path | None = None

    @property
    def speaker(self) -> str:
        """The folder that it lies in, or nothing."""
        return os.path.dirname(self.name)


def find(folder: str | os.PathLike[str]) -> dict[str, Recording]:
    """The recordings of a set by name, in order of name.

    Raises:
      UserError: no such folder, nothing in it that can be compared, or two videos of one name.
    """
    root = pathlib.Path(folder).expanduser()
    if not root.is_dir():
        raise UserError(
            f"there is no folder {root}; name one with videos, as FOLDER or "
            "LABEL=FOLDER, with commas between several"
        )
    found: dict[str, dict[str, pathlib.Path]] = {}
    for path in sorted(sources.files_below(root)):
        kind, name = _kind(path)
        if kind is None or path.name.startswith("."):
            continue
        files = found.setdefault((path.parent / name).relative_to(root).as_posix(), {})
        if kind == "video" and kind in files:
            raise UserError(
                f"{root} has both {files[kind].name} and {path.name}, of one name; keep one of them"
            )
        files.setdefault(kind, path)
    useful = {
        name: Recording(name, **files) for name, files in found.items() if set(files) - _BESIDE
    }
    if not useful:
        raise UserError(
            f"{root} has no videos, landmarks or motion features; give a folder with NAME.mp4, "
            "NAME.landmarks.npz or NAME.npz"
        )
    return dict(sorted(useful.items()))


def _kind(path: pathlib.Path) -> tuple[str | None, str]:
    if path.name.endswith(landmarks.SUFFIX):
        return "landmarks", path.name.removesuffix(landmarks.SUFFIX)
    if path.name.endswith(BEATS):
        return "beats", path.name.removesuffix(BEATS)
    suffix = path.suffix.lower()
    if suffix in sources.SUFFIXES:
        return "video", path.stem
    if suffix in sources.SOUND_SUFFIXES:
        return "sound", path.stem
    if suffix == _MOTION:
        return "motion", path.stem
    return None, path.stem


@dataclasses.dataclass(frozen=True)
class Picture:
    """What a video says of itself, as far as it matters here.

    Attributes:
      frames: that it has at `FPS`, if its stated length is true.
      box: x0, y0, x1, y1 of the square that is looked at, pixels.
      fps: its own rate.
      has_audio: whether it has a sound track.
    """

    frames: int
    box: tuple[float, float, float, float]
    fps: float
    has_audio: bool

    @property
    def side(self) -> float:
        """Of the square, pixels."""
        return self.box[2] - self.box[0]


def look(path: pathlib.Path) -> Picture:
    """Opens a video and decodes one frame of it.

    Raises:
      UserError: it is none, or has no frame that can be decoded.
    """
    info = video.probe(path)
    frames = max(1, math.floor(info.seconds * FPS + 0.5))
    box = image.crop_box(info.width, info.height, "center")
    return Picture(frames, box, info.fps, info.has_audio)


def speech_of(recording: Recording) -> pathlib.Path | None:
    """The file that tells the beats of the speech: known beats, else its video's, else its sound.

    None where there is none of them.
    """
    if recording.beats is not None:
        return recording.beats
    if recording.video is not None:
        try:
            if look(recording.video).has_audio:
                return recording.video
        except UserError:  # what is wrong with it is said where its pictures are read
            pass
    return recording.sound


def read(
    path: pathlib.Path, wanted: Iterable[int], size: int
) -> dict[int, UInt8[np.ndarray, "h w 3"]]:
    """Frames of a video at `FPS`, by number; only these are held.

    Args:
      path: the video.
      wanted: numbers of frames, in any order.
      size: side in pixels that the largest square in the middle is resized to.

    Returns:
      those that the video has.

    Raises:
      UserError: see `video.read_frames`.
    """
    left = sorted(set(wanted))
    if not left:
        return {}
    end = (left[-1] + 1) / FPS
    keep = set(left)
    frames = video.read_frames(path, fps=FPS, size=size, crop="center", end=end)
    return {number: frame for number, frame in enumerate(frames) if number in keep}


def read_boxes(path: pathlib.Path, picture: Picture, frames: int) -> Float[np.ndarray, "t 4 4"]:
    """Boxes of hands, face and lips in the square that is looked at, as fractions.

    Raises:
      UserError: the file of landmarks cannot be read.
    """
    return boxing.within(landmarks.read(path).at(FPS, frames), picture.box)


def points_of(pose: Pose, picture: Picture | None) -> Float[np.ndarray, "t 33 3"]:
    """Landmarks of the body at `FPS`.

    Args:
      pose: as its file has it.
      picture: of the video; None where there is none.

    Returns:
      x and y in sides of the square that is looked at, from its corner, or without a video in the
      file's own unit; then visibility. NaN where not found.
    """
    points = pose_vectors.steady(pose, FPS).copy()
    if picture is not None:
        points[..., :2] = (points[..., :2] - picture.box[:2]) / picture.side
    return points


def arms(points: Float[np.ndarray, "t 33 3"]) -> Float[np.ndarray, "t 7 2"] | None:
    """The joints `ARMS`; gaps of up to a second are interpolated. None with longer ones."""
    place = points[..., :2]
    rows = [place[:, list(pose_vectors.SHOULDERS)].mean(axis=1)]
    for side in (0, 1):
        for pair in (pose_vectors.SHOULDERS, pose_vectors.ELBOWS, pose_vectors.WRISTS):
            rows.append(place[:, pair[side]])
    return _filled(np.stack(rows, axis=1))


def _filled(joints: np.ndarray) -> np.ndarray | None:
    flat = joints.reshape(len(joints), -1)
    known = np.isfinite(flat).all(axis=1)
    if len(flat) < 2 or not known.any():
        return None
    times = np.arange(len(flat))
    gaps = np.diff(np.flatnonzero(np.concatenate([[True], known, [True]]))) - 1
    if gaps.max() > _LONGEST_GAP * FPS:
        return None
    columns = [np.interp(times, times[known], column[known]) for column in flat.T]
    return np.stack(columns, axis=1).reshape(joints.shape)


def read_motion(path: pathlib.Path) -> Float[np.ndarray, "t d"]:
    """Motion features, (t, d).

    Raises:
      UserError: the file has no array `motion` of that shape, or one that is not finite.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            motion = np.asarray(file["motion"], np.float64) if "motion" in file else None
    except Exception as error:  # damage shows as any of a dozen, of NumPy, zipfile and zlib
        raise UserError(f"{path} is no readable .npz file ({type(error).__name__})") from error
    if motion is None or motion.ndim != 2 or not motion.size:
        raise UserError(
            f"{path} holds no motion features: an array `motion` (frames, numbers) is expected, as "
            "`jaxgesture generate --format=motion` writes it"
        )
    if not np.isfinite(motion).all():
        raise UserError(f"{path} holds motion features that are not finite numbers")
    return motion


def beats(path: pathlib.Path) -> Float[np.ndarray, "b"]:
    """Beats of speech in seconds: those of a list, or the onsets of a sound.

    Onsets are librosa's at 16 kHz, as HA2G takes them.

    Raises:
      UserError: there is no sound in the file, or no list of seconds.
    """
    if path.name.endswith(BEATS):
        try:
            found = np.array([float(word) for word in path.read_text("utf-8-sig").split()])
        except (ValueError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is no list of seconds, one a line ({error})") from error
        if not (np.isfinite(found) & (found >= 0)).all():
            raise UserError(f"{path} holds a beat that is no number of seconds from the beginning")
        return np.sort(found)
    import librosa

    with warnings.catch_warnings():
        # Of silence the warning speaks of speech that drives motion; here it has no beats.
        warnings.filterwarnings("ignore", ".* is silent", DataWarning)
        samples, rate = sound.read_audio(path, sample_rate=16_000)
    if np.abs(samples).max() < sound.SILENCE:
        raise UserError(f"{path} is silent: its speech has no beats")
    return librosa.onset.onset_detect(y=samples, sr=rate, units="time")
