"""Parts of videos that become clips.

Times are put on the grid of output frames: a part starts and ends at a whole frame, and its audio
features, boxes and pictures have the same frame numbers. Everything is made for one clip at a time,
so that a file of hours needs the memory of its longest clip.
"""

import dataclasses
import math
import pathlib
import warnings
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import boxes, crops, landmarks, sound, sources, video
from jaxgesture.data.audio import Extractor
from jaxgesture.data.clips import HELD_AUDIO_ROWS, ClipData
from jaxgesture.data.image import Crop, crop_box

# Sound or landmarks this much shorter than the pictures (frames) are worth a warning.
END_SLACK = 5
# A job takes about this much of a file (s): short enough to be done again after a kill.
_JOB_SECONDS = 600.0
# Of `boxes.PARTS`: those that a square around landmarks holds.
_HANDS_AND_FACE = 3
# A file may go on for so long (s) after the end that it states; its last clip takes that in.
_BEYOND = 1.0


@dataclasses.dataclass(frozen=True)
class Cut:
    """A part of a file that becomes a clip.

    Attributes:
        id: of the clip, unique in the dataset.
        split: "train" or "validation".
        start: its first frame, counted from the file's start at the rate of the dataset.
        stop: the frame behind its last one.
        crop: the square of the picture that is kept; "landmarks" for the one that holds the
            speaker's hands and face all the time.
        speaker: who is seen.
        to_end: whether it goes on to the file's true end, which may lie a little behind the stated
            one; else it ends at `stop`.
    """

    id: str
    split: str
    start: int
    stop: int
    crop: Crop
    speaker: str
    to_end: bool = False


@dataclasses.dataclass(frozen=True)
class Media:
    """A readable video and what belongs to it.

    Attributes:
        path: the video.
        name: what it is called in the dataset.
        info: what it says about itself.
        sound: the file that its sound is in, itself or another; None if it is mute.
        landmarks: the file of landmarks; None without.
        signature: of the video when it was looked at, see `sources.signature`.
    """

    path: pathlib.Path
    name: str
    info: video.VideoInfo
    sound: pathlib.Path | None
    landmarks: pathlib.Path | None
    signature: tuple[int, int] | None = None

    def frames(self, fps: float) -> int:
        """How many frames it has at some rate, by the length that it states."""
        return math.floor(self.info.seconds * fps + 0.5)


@dataclasses.dataclass(frozen=True)
class Grid:
    """What clips are made to: size in pixels, frames a second, and the audio features.

    `extractor` is None where audio features cannot be paired with the frames.
    """

    size: int
    fps: float
    extractor: Extractor | None


@dataclasses.dataclass(frozen=True)
class FileJob:
    """Clips of one file, in order of time."""

    media: Media
    cuts: tuple[Cut, ...]
    grid: Grid

    @property
    def name(self) -> str:
        """The file's name."""
        return self.media.name

    def clips(self) -> Iterator[ClipData]:
        """The clips, each made as it is asked for."""
        marks, wrong = self._landmarks()
        spans = self._spans()
        missing = loudest = 0.0
        placed = short = False
        cut_off = 0
        for cut in self.cuts:
            stop = cut.stop / self.grid.fps
            rows = None
            if spans is not None:
                try:
                    samples, rate = next(spans)
                except UserError as error:
                    _say(f"{error}; {self._named(cut)} serves stage 1 only")
                    spans = None
                else:
                    loudest = max(loudest, float(np.abs(samples).max(initial=0.0)))
                    missing = max(missing, stop - cut.start / self.grid.fps - len(samples) / rate)
                    rows = self._features(samples, rate, cut)
            try:
                crop = self._crop(cut, marks, wrong)
                view = crop_box(self.media.info.width, self.media.info.height, crop)
            except UserError as error:
                yield self._clip(cut, _refused(error), rows, None)
                continue
            places = None
            if marks is not None:
                short = short or marks.seconds < stop - END_SLACK / self.grid.fps
                found = marks.at(self.grid.fps, cut.stop)[cut.start :]
                places = boxes.within(found, view)
                placed = placed or bool(np.isfinite(places).any())
                if cut.crop == "landmarks":
                    cut_off += _is_cut_off(found, places)
            yield self._clip(cut, self._frames(cut, crop, rows), rows, places)
        if cut_off:
            _say(
                f"{self._part()}: the square cannot hold hands and face in all frames of {cut_off} "
                "clips"
            )
        self._warn(marks, placed, short, missing, None if spans is None else loudest)

    def _named(self, cut: Cut) -> str:
        start = cut.start / self.grid.fps
        return f"{self.name} from {start:g} s on" if start else self.name

    def _part(self) -> str:
        """The file, and which part of it is meant where it has several jobs or parts."""
        start = min(cut.start for cut in self.cuts)
        stop = max(cut.stop for cut in self.cuts)
        if start == 0 and stop >= self.media.frames(self.grid.fps):
            return self.name
        return f"{self.name} from {start / self.grid.fps:g} to {stop / self.grid.fps:g} s"

    def _clip(
        self,
        cut: Cut,
        frames: Iterator[np.ndarray],
        rows: np.ndarray | None,
        places: np.ndarray | None,
    ) -> ClipData:
        return ClipData(
            id=cut.id,
            split=cut.split,
            frames=frames,
            audio=rows,
            speaker=cut.speaker,
            source=self.media.name,
            start=cut.start / self.grid.fps,
            boxes=places,
        )

    def _crop(self, cut: Cut, marks: landmarks.Landmarks | None, wrong: str) -> Crop:
        if cut.crop != "landmarks":
            return cut.crop
        if marks is None and wrong:
            raise UserError(f"there is no crop by its landmarks: {wrong}")
        if marks is None:
            raise UserError(
                f"{self.media.name} has no landmarks to crop by; make them with `jaxgesture "
                "landmarks`, or choose another crop"
            )
        start, stop = cut.start / self.grid.fps, cut.stop / self.grid.fps
        info = self.media.info
        return crops.around_landmarks(marks, start, stop, info.width, info.height, self.grid.fps)

    def _frames(self, cut: Cut, crop: Crop, rows: np.ndarray | None) -> Iterator[np.ndarray]:
        """The pictures; the stated length is a promise, the last clip is read to the true end."""
        frames = cut.stop - cut.start
        limit = frames
        if cut.to_end:
            limit += math.floor(_BEYOND * self.grid.fps)
            if rows is not None:
                limit = min(limit, max(frames, len(rows) + HELD_AUDIO_ROWS))
        pictures = video.read_frames(
            self.media.path,
            fps=self.grid.fps,
            size=self.grid.size,
            crop=crop,
            start=cut.start / self.grid.fps,
            # One more than is wanted tells whether there is more.
            end=(cut.start + limit + cut.to_end) / self.grid.fps,
        )
        for number, picture in enumerate(pictures):
            if number == limit:
                _say(
                    f"{self.name}: the pictures go on after the stated end at "
                    f"{self.media.info.seconds:.2f} s; what lies behind "
                    f"{(cut.start + limit) / self.grid.fps:.2f} s is left out, convert the file to "
                    "have it"
                )
                break
            yield picture
        media = self.media
        if media.signature is not None and sources.signature(media.path) != media.signature:
            raise UserError("it was changed while it was read; prepare it again when it is whole")

    def _spans(self) -> Iterator[tuple[Float[np.ndarray, "n"], int]] | None:
        """The sound of every cut; None for a file that serves stage 1 only."""
        if self.media.sound is None or self.grid.extractor is None:
            return None
        asked = []
        for cut in self.cuts:
            beyond = _BEYOND if cut.to_end else 0.0
            asked.append((cut.start / self.grid.fps, cut.stop / self.grid.fps + beyond))
        return sound.read_spans(self.media.sound, asked)

    def _features(self, samples: np.ndarray, rate: int, cut: Cut) -> Float[np.ndarray, "t a"]:
        """One row for every frame of the clip, and for what the sound has beyond its end."""
        assert self.grid.extractor is not None
        frames = cut.stop - cut.start
        if cut.to_end:
            frames = max(frames, math.floor(len(samples) / rate * self.grid.fps + 0.5))
        if not len(samples):
            samples = np.zeros(rate // 10, np.float32)
        return self.grid.extractor.features(samples, rate, frames)

    def _landmarks(self) -> tuple[landmarks.Landmarks | None, str]:
        """The landmarks, or what is wrong with them."""
        if self.media.landmarks is None:
            return None, ""
        try:
            return landmarks.read(self.media.landmarks), ""
        except UserError as error:
            _say(f"{error}; {self.media.name} has no boxes")
            return None, str(error)

    def _warn(
        self,
        marks: landmarks.Landmarks | None,
        placed: bool,
        short: bool,
        missing: float,
        loudest: float | None,
    ) -> None:
        name = self._part()
        if marks is not None and not placed:
            _say(
                f"{self.media.landmarks}: no box lies in the part of the picture that is kept; "
                f"{name} has no boxes"
            )
        if marks is not None and short:
            early = max(cut.stop for cut in self.cuts) / self.grid.fps - marks.seconds
            _say(f"{name}: the landmarks end {early:.2f} s before the pictures; no boxes there")
        if loudest is None:
            return
        if missing * self.grid.fps > END_SLACK:
            _say(f"{name}: the sound ends {missing:.2f} s before the pictures; taken as silence")
        if loudest < sound.SILENCE:
            _say(f"{name} is silent: no speech will drive the motion")


def _say(text: str) -> None:
    warnings.warn(text, DataWarning, stacklevel=3)


def _refused(error: UserError) -> Iterator[np.ndarray]:
    raise error
    yield


def _is_cut_off(found: Float[np.ndarray, "t k 4"], placed: Float[np.ndarray, "t k 4"]) -> bool:
    """Whether a hand or the face is seen in the picture and not in the square in some frame."""
    seen, kept = (np.isfinite(part[:, :_HANDS_AND_FACE]).all(-1) for part in (found, placed))
    return bool((seen & ~kept).any())


def open_media(
    path: pathlib.Path, name: str, sound: pathlib.Path | None, marks: pathlib.Path | None
) -> Media:
    """A video with what lies beside it; its own sound where no other is given.

    Raises:
        UserError: it cannot be used.
    """
    before = sources.signature(path)
    info = video.probe(path)
    own = path if info.has_audio else None
    return Media(path, name, info, sound or own, marks, before)


def longest_clip(max_seconds: float, fps: float) -> int:
    """The frames of the longest clip.

    Raises:
        UserError: it has none, or no end.
    """
    if not (math.isfinite(max_seconds) and math.isfinite(fps) and max_seconds * fps >= 1):
        raise UserError(
            f"clips of at most {max_seconds:g} s at {fps:g} frames a second cannot be made; choose "
            "more seconds, such as 60"
        )
    return math.floor(max_seconds * fps + 1e-6)


def file_jobs(media: Media, cuts: Sequence[Cut], grid: Grid) -> list[FileJob]:
    """The jobs that make the clips of a file; a long file gives several, which run side by side.

    How a file is divided depends on its cuts alone.
    """
    jobs: list[FileJob] = []
    part: list[Cut] = []
    frames = 0
    for cut in sorted(cuts, key=lambda cut: (cut.start, cut.stop, cut.id)):
        if part and frames + cut.stop - cut.start > _JOB_SECONDS * grid.fps:
            jobs.append(FileJob(media, tuple(part), grid))
            part, frames = [], 0
        part.append(cut)
        frames += cut.stop - cut.start
    if part:
        jobs.append(FileJob(media, tuple(part), grid))
    return jobs


def check_ids(parts: Iterable[tuple[str, Cut]]) -> None:
    """Refuses clips of one id before any work is done; `parts` are pairs of file and clip.

    Raises:
        UserError: naming the files.
    """
    owners: dict[str, str] = {}
    for name, cut in parts:
        if cut.id in owners:
            raise UserError(
                f"two clips are called {cut.id!r}, of {owners[cut.id]} and {name}; give one of "
                "them another id"
            )
        owners[cut.id] = name


def pieces(start: int, stop: int, longest: int) -> list[tuple[int, int]]:
    """Divides frames start to stop evenly into the fewest parts of at most `longest` frames."""
    count = max(1, math.ceil((stop - start) / longest))
    edges = [start + (stop - start) * i // count for i in range(count + 1)]
    return list(zip(edges[:-1], edges[1:], strict=True))
