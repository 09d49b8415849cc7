"""Writing directories of records: in order, in one pass, and going on where a run was stopped.

Records come in groups, the frames of a clip, and a record file is closed between groups only. Every
closed file is a line of a journal; after a kill the files of the journal stay, and groups from the
first one that is in none of them are added again. Nothing that a file holds depends on where a run
was stopped. `building` gives the folder to write into.
"""

import contextlib
import dataclasses
import errno
import hashlib
import importlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jaxgesture.data.building import FULL, JOURNAL, versions

SHARD_BYTES = 128 * 2**20
CARD = "dataset_card.json"
_WRITER_OPTIONS = "group_size:1,uncompressed"
_VERSION = "1.0.0"
# Keys of an index that say how the content was made, not what it is.
_NOT_CONTENT = ("arguments", "report")


@dataclasses.dataclass(frozen=True)
class Shard:
    """One record file: its name, how many records it holds, its length and its SHA-256."""

    file: str
    records: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class _Closed:
    """A line of the journal: a closed record file under its temporary name."""

    split: str
    file: str
    records: int
    groups: int
    bytes: int
    sha256: str


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """array_record tells what the system refused in the text of a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        for number in (*FULL, errno.EIO):
            if os.strerror(number) in str(error):
                raise OSError(number, os.strerror(number)) from error
        raise


class RecordEncoder:
    """Turns examples into the bytes of records.

    Args:
        features: a `tfds.features.FeaturesDict`; images are given as encoded bytes.
    """

    def __init__(self, features: Any):
        tfds = importlib.import_module("tensorflow_datasets")
        self.features = features
        self._serializer = tfds.core.example_serializer.ExampleSerializer(
            features.get_serialized_info()
        )

    def __call__(self, example: Mapping[str, Any]) -> bytes:
        """The bytes of one record."""
        encoded = self._serializer.get_tf_example(self.features.encode_example(example))
        # Without it the order of the fields is another one in every process.
        return encoded.SerializeToString(deterministic=True)


class _SplitWriter:
    """The record files of one split, continued behind those that the journal names."""

    def __init__(self, folder: pathlib.Path, split: str, shard_bytes: int, closed: list[_Closed]):
        self._folder, self._split, self._shard_bytes = folder, split, shard_bytes
        self.closed = closed
        self._writer: Any = None
        self._path: pathlib.Path | None = None
        self._bytes = self._records = self._groups = 0
        self.groups = self.records = 0
        self.digest = hashlib.sha256()

    @property
    def closed_groups(self) -> int:
        return sum(file.groups for file in self.closed)

    def add(self, count: int, digest: str, read: Callable[[], Iterable[bytes]]) -> int:
        first = self.records
        number = self.groups
        self.groups, self.records = self.groups + 1, self.records + count
        self.digest.update(digest.encode())
        if number < self.closed_groups:
            return first
        if self._writer is None:
            module: Any = importlib.import_module("array_record.python.array_record_module")
            self._path = self._folder / f"{self._split}.{len(self.closed):05d}.writing"
            self._writer = module.ArrayRecordWriter(os.fspath(self._path), _WRITER_OPTIONS)
        for record in read():
            with _as_os_error():
                self._writer.write(record)
            self._bytes += len(record)
            self._records += 1
        self._groups += 1
        if self._bytes >= self._shard_bytes:
            self.close()
        return first

    def abandon(self) -> None:
        if self._writer is not None:
            # Its file is removed by the next run; that it cannot be finished is no news.
            with contextlib.suppress(RuntimeError):
                self._writer.close()
            self._writer = None

    def close(self) -> None:
        if self._writer is None or self._path is None:
            return
        writer, self._writer = self._writer, None
        with _as_os_error():
            writer.close()
        with self._path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            os.fsync(stream.fileno())
        size = self._path.stat().st_size
        done = _Closed(self._split, self._path.name, self._records, self._groups, size, digest)
        with (self._folder / JOURNAL).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(dataclasses.asdict(done)) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.closed.append(done)
        self._bytes = self._records = self._groups = 0

    def finish(self, name: str) -> list[Shard]:
        """Gives the files their final names, which hold their total count."""
        self.close()
        shards = []
        for i, done in enumerate(self.closed):
            file = f"{name}-{self._split}.array_record-{i:05d}-of-{len(self.closed):05d}"
            path = self._folder / done.file
            # A run that was stopped in the middle of this loop has renamed some.
            if path.exists():
                path.rename(self._folder / file)
            shards.append(Shard(file, done.records, done.bytes, done.sha256))
        return shards


class RecordWriter:
    """Writes the records of several splits in one pass, in order, with memory for one record.

    Args:
        folder: what `building` gave; files that an interrupted run closed are taken over.
        name: the TFDS name of the dataset.
        features: a `tfds.features.FeaturesDict`; images are given as encoded bytes.
        shard_bytes: a record file is closed behind the group with which it holds this many bytes.
        known: how many groups of each split, from its first on, are sure to come as they did; files
            that an interrupted run closed behind these are not taken over.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        name: str,
        features: Any,
        shard_bytes: int,
        known: Mapping[str, int] | None = None,
    ):
        self._folder, self._name, self._shard_bytes = folder, name, shard_bytes
        self.encode = RecordEncoder(features)
        self._closed = _journal(folder, name, known or {})
        self._splits: dict[str, _SplitWriter] = {}

    def _split(self, split: str) -> _SplitWriter:
        if split not in self._splits:
            closed = [file for file in self._closed if file.split == split]
            self._splits[split] = _SplitWriter(self._folder, split, self._shard_bytes, closed)
        return self._splits[split]

    def add(self, split: str, count: int, digest: str, read: Callable[[], Iterable[bytes]]) -> int:
        """Appends a group of encoded records to a split, unless a closed file holds it already.

        Args:
            split: where to.
            count: records of the group.
            digest: SHA-256 of the records, see `group_digest`.
            read: gives the records; not called where a closed file holds the group.

        Returns:
            the index of its first record in the split.
        """
        return self._split(split).add(count, digest, read)

    def groups(self, split: str) -> int:
        """Groups added to a split so far."""
        return self._split(split).groups

    def closed_groups(self, split: str) -> int:
        """How many groups of a split, from its first on, are in closed files."""
        return self._split(split).closed_groups

    def close(self) -> None:
        """Lets go of the open files after a failure; the next run adds their groups again."""
        for writer in self._splits.values():
            writer.abandon()

    def finish(
        self,
        index_name: str,
        index: Mapping[str, Any],
        description: str,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes the TFDS metadata, the card and, last, `index_name`.

        The index gets the record files and a fingerprint `sha256`, which covers the records of
        every split in order and the index without its `arguments` and `report`: the same content
        has the same fingerprint, however it was made and cut into files.

        Args:
            index_name: "clips.json" or "motion.json".
            index: what it holds besides.
            description: one line, for TFDS.
            card: what a reader wants to know; written as `dataset_card.json` with splits, files,
                fingerprint and versions.
        """
        splits = {name: w for name, w in sorted(self._splits.items()) if w.groups}
        shards = {split: writer.finish(self._name) for split, writer in splits.items()}
        _write_tfds(self._folder, self._name, self.encode.features, description, shards)
        content = {key: value for key, value in index.items() if key not in _NOT_CONTENT}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        for split, writer in splits.items():
            digest.update(split.encode() + writer.digest.digest())
        files = {s: [dataclasses.asdict(x) for x in found] for s, found in shards.items()}
        made = {"name": self._name, "sha256": digest.hexdigest(), "written_with": versions()}
        about = {"description": description, **(card or {}), **made, "files": files}
        _write_json(self._folder / CARD, about)
        _write_json(self._folder / index_name, {**index, **made, "shards": files})


def group_digest(records: Iterable[bytes]) -> str:
    """The SHA-256 of records with their lengths, hexadecimal."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(len(record).to_bytes(8, "little"))
        digest.update(record)
    return digest.hexdigest()


def _write_json(path: pathlib.Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _journal(folder: pathlib.Path, name: str, known: Mapping[str, int]) -> list[_Closed]:
    """The closed files that can be taken over; other record files are removed."""
    path = folder / JOURNAL
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    closed: list[_Closed] = []
    for line in lines:
        try:
            closed.append(_Closed(**json.loads(line)))
        except (ValueError, TypeError):
            break  # the last line of a run that was stopped while it wrote it
    for renamed in sorted(folder.glob(f"{name}-*.array_record-*")):
        # Stopped while the files got their final names: they get their temporary ones back.
        split, _, rest = renamed.name[len(name) + 1 :].partition(".array_record-")
        renamed.rename(folder / f"{split}.{int(rest[:5]):05d}.writing")
    whole: list[_Closed] = []
    broken: set[str] = set()
    groups: dict[str, int] = {}
    for file in closed:
        there = folder / file.file
        groups[file.split] = groups.get(file.split, 0) + file.groups
        lost = not there.is_file() or there.stat().st_size != file.bytes
        if file.split in broken or lost or groups[file.split] > known.get(file.split, 0):
            broken.add(file.split)
        else:
            whole.append(file)
    kept = {file.file for file in whole}
    for there in folder.glob("*.writing"):
        if there.name not in kept:
            there.unlink()
    text = "".join(json.dumps(dataclasses.asdict(file)) + "\n" for file in whole)
    path.write_text(text, encoding="utf-8")
    return whole


def _write_tfds(
    folder: pathlib.Path,
    name: str,
    features: Any,
    description: str,
    shards: Mapping[str, list[Shard]],
) -> None:
    """Writes dataset_info.json and features.json."""
    tfds = importlib.import_module("tensorflow_datasets")
    info = tfds.core.DatasetInfo(
        builder=tfds.core.dataset_info.DatasetIdentity(
            name=name,
            version=tfds.core.Version(_VERSION),
            data_dir=os.fspath(folder),
            module_name="jaxgesture",
        ),
        description=description,
        features=features,
        disable_shuffling=True,
    )
    info.set_file_format("array_record")
    info.set_splits(
        tfds.core.splits.SplitDict(
            [
                tfds.core.SplitInfo(
                    name=split,
                    shard_lengths=[shard.records for shard in files],
                    num_bytes=sum(shard.bytes for shard in files),
                    filename_template=tfds.core.ShardedFileTemplate(
                        data_dir=folder,
                        dataset_name=name,
                        split=split,
                        filetype_suffix="array_record",
                    ),
                )
                for split, files in shards.items()
            ]
        )
    )
    info.write_to_directory(folder)
