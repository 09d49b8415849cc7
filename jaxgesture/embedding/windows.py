"""Windows of poses or motion features, from a folder, as examples to train on.

A folder of landmarks files (`data.landmarks`) gives the 27 numbers of `data.pose_vectors` at 15
frames a second; a dataset made by `jaxgesture extract` gives its motion features at its own rate.
Rows are held, windows are cut out when their turn comes.
"""

import dataclasses
import hashlib
import pathlib
import warnings
import zlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.types import NumpyBatch
from jaxgesture.data import landmarks, pose_vectors, sources
from jaxgesture.data.datasets import MotionDataset
from jaxgesture.data.motions import INDEX

POSES, MOTION = "poses", "motion features"
TRAIN, VALIDATION = "train", "validation"
# Of landmarks files one in so many is held out, chosen by its name.
_HELD_OUT = 10


@dataclasses.dataclass(frozen=True)
class Windows:
    """All windows of a split; `batches.endless` takes them as items.

    Attributes:
      rows: of each clip, (t, c).
      starts: clip and first row of each window.
    """

    rows: tuple[Float[np.ndarray, "_ c"], ...]
    starts: np.ndarray

    def __len__(self) -> int:
        """The number of windows."""
        return len(self.starts)

    def example(self, item: int, rng: np.random.Generator) -> NumpyBatch:
        """One window, (34, c) float32; nothing in it is random."""
        del rng
        clip, start = self.starts[item]
        return {"window": self.rows[clip][start : start + pose_vectors.WINDOW].astype(np.float32)}


@dataclasses.dataclass(frozen=True)
class Collection:
    """What a folder holds.

    Attributes:
      kind: `POSES` or `MOTION`.
      channels: numbers of a frame.
      fps: frames a second.
      splits: "train" and "validation"; the latter may have no windows.
      sha256: of the rows.
      clips: that gave windows.
    """

    kind: str
    channels: int
    fps: float
    splits: Mapping[str, Windows]
    sha256: str
    clips: int

    @property
    def about(self) -> str:
        """For reports, what a network was trained on."""
        return (
            f"trained on {len(self.splits[TRAIN])} windows of {self.kind} of {self.clips} clips at "
            f"{self.fps:g} frames a second, sha256 {self.sha256[:12]}"
        )


def collect(folder: str, stride: int) -> Collection:
    """Reads a folder of landmarks files, or a dataset of motion features.

    Args:
      folder: searched with its subfolders for landmarks files.
      stride: a window begins every so many frames.

    Raises:
      UserError: no such folder, neither of both in it, or no window to train on.
    """
    if not folder:
        raise UserError(
            "data.directory is empty; give a folder with NAME.landmarks.npz files, or a dataset "
            "made by `jaxgesture extract`, as --config.data.directory=DIR"
        )
    if stride < 1:
        raise UserError(f"data.stride is {stride}; choose 1 or more")
    root = pathlib.Path(folder).expanduser()
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; check --config.data.directory")
    if (root / INDEX).is_file():
        found = _of_dataset(MotionDataset(root), stride)
    else:
        found = _of_landmarks(root, stride)
    if not len(found.splits[TRAIN]):
        raise UserError(
            f"{root} has no {pose_vectors.WINDOW} frames in a row at {found.fps:g} a second to "
            "train on; give longer clips whose joints are known"
        )
    return found


def _of_dataset(dataset: MotionDataset, stride: int) -> Collection:
    rows = {
        split: {clip.id: dataset.motion(clip) for clip in dataset.clips() if clip.split == split}
        for split in (TRAIN, VALIDATION)
    }
    return _collection(MOTION, dataset.feature_size, dataset.fps, rows, stride)


def _of_landmarks(root: pathlib.Path, stride: int) -> Collection:
    read: dict[str, np.ndarray] = {}
    skipped: list[str] = []
    unknown = total = 0
    files = sorted(p for p in sources.files_below(root) if p.name.endswith(landmarks.SUFFIX))
    if not files:
        raise UserError(
            f"{root} has no NAME{landmarks.SUFFIX} and is no dataset of motion features; "
            "`jaxgesture landmarks --videos=DIR` makes the former, `jaxgesture extract` the latter"
        )
    for path in files:
        name = path.relative_to(root).as_posix()
        try:
            pose = landmarks.read_pose(path)
        except UserError as error:
            skipped.append(str(error))
            continue
        vectors = pose_vectors.pose_vectors(pose_vectors.steady(pose)).astype(np.float32)
        unknown += int(np.isnan(vectors).any(axis=1).sum())
        total += len(vectors)
        read[name] = vectors
    if skipped:
        warnings.warn(
            f"{len(skipped)} of {len(files)} landmarks files are left out: {skipped[0]}",
            DataWarning,
            stacklevel=2,
        )
    if unknown:
        warnings.warn(
            f"joints are not known in {unknown} of {total} frames: windows with them are left out",
            DataWarning,
            stacklevel=2,
        )
    held_out = {name for name in read if zlib.crc32(name.encode()) % _HELD_OUT == 0}
    if len(held_out) == len(read):
        # Of few files all may be chosen, and then there were nothing to train on.
        held_out -= {min(read, default="")}
    rows = {
        TRAIN: {name: values for name, values in read.items() if name not in held_out},
        VALIDATION: {name: values for name, values in read.items() if name in held_out},
    }
    return _collection(POSES, pose_vectors.SIZE, pose_vectors.FPS, rows, stride)


def _collection(
    kind: str, channels: int, fps: float, rows: Mapping[str, Mapping[str, np.ndarray]], stride: int
) -> Collection:
    digest = hashlib.sha256()
    splits, clips = {}, 0
    for split, found in rows.items():
        starts = []
        for number, (name, values) in enumerate(found.items()):
            digest.update(f"{split} {name} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values, np.float32).tobytes())
            known = pose_vectors.window_starts(values, stride=stride)
            starts += [(number, start) for start in known]
            clips += bool(len(known))
        table = np.array(starts, np.int64).reshape(-1, 2)
        splits[split] = Windows(tuple(found.values()), table)
    return Collection(kind, channels, fps, splits, digest.hexdigest(), clips)
