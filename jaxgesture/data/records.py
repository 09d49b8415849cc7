"""Directories of records: TFDS datasets (`array_record`) written in order, without TensorFlow.

A dataset is one flat folder, the one a user names everywhere (`tfds.builder_from_directory` opens
it, no version folder in between):

    dataset_info.json  features.json               what TFDS needs
    NAME-SPLIT.array_record-00000-of-00003 ...     records, in the order they were added
    INDEX.json                                     ours, written last: its presence means finished

A folder is built beside its final name and renamed when it is complete, so a crash never leaves a
half dataset under the name that training reads. Records are stored uncompressed with one record a
group: images are compressed already, and a single record is then one short read.
"""

import contextlib
import dataclasses
import errno
import hashlib
import importlib
import importlib.metadata
import json
import os
import pathlib
import shutil
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from jaxgesture.core.errors import UserError

SHARD_BYTES = 128 * 2**20
_WRITER_OPTIONS = "group_size:1,uncompressed"
_VERSION = "1.0.0"
# Of an index that states none.
_FIRST_FORMAT = 1
# Keys of an index that say how the content was made, not what it is.
_NOT_CONTENT = ("arguments", "report")


def _tfds() -> Any:
    """TFDS, imported late (0.4 s); its lazy modules are unknown to type checkers."""
    return importlib.import_module("tensorflow_datasets")


@dataclasses.dataclass(frozen=True)
class Shard:
    """One record file: its name, how many records it holds, its length and its SHA-256."""

    file: str
    records: int
    bytes: int
    sha256: str


class _SplitWriter:
    """The record files of one split; a new one is begun when `shard_bytes` are exceeded."""

    def __init__(self, folder: pathlib.Path, split: str, shard_bytes: int):
        self._folder, self._split, self._shard_bytes = folder, split, shard_bytes
        self._writer: Any = None
        self._bytes = 0
        self.counts: list[int] = []
        self.digest = hashlib.sha256()

    def _path(self, shard: int) -> pathlib.Path:
        return self._folder / f"{self._split}.{shard:05d}.writing"

    def add(self, record: bytes) -> None:
        if self._writer is None:
            module: Any = importlib.import_module("array_record.python.array_record_module")
            path = os.fspath(self._path(len(self.counts)))
            self._writer = module.ArrayRecordWriter(path, _WRITER_OPTIONS)
            self.counts.append(0)
            self._bytes = 0
        self._writer.write(record)
        self.counts[-1] += 1
        self._bytes += len(record)
        self.digest.update(len(record).to_bytes(8, "little"))
        self.digest.update(record)
        if self._bytes >= self._shard_bytes:
            self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def finish(self, name: str) -> list[Shard]:
        """Gives the files their final names, which hold their total count, and hashes them."""
        self.close()
        shards = []
        for i, count in enumerate(self.counts):
            file = f"{name}-{self._split}.array_record-{i:05d}-of-{len(self.counts):05d}"
            path = self._path(i).rename(self._folder / file)
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            shards.append(Shard(file, count, path.stat().st_size, digest))
        return shards


class RecordWriter:
    """Writes the records of several splits in one pass, in order, with memory for one record.

    Args:
        folder: an existing, empty folder.
        name: the TFDS name of the dataset.
        features: a `tfds.features.FeaturesDict`; images are given as encoded bytes.
        shard_bytes: a record file is closed once it holds this many bytes.
    """

    def __init__(self, folder: pathlib.Path, name: str, features: Any, shard_bytes: int):
        tfds = _tfds()

        self._folder, self._name, self._features = folder, name, features
        self._shard_bytes = shard_bytes
        self._serializer = tfds.core.example_serializer.ExampleSerializer(
            features.get_serialized_info()
        )
        self._splits: dict[str, _SplitWriter] = {}

    def encode(self, example: Mapping[str, Any]) -> bytes:
        """The bytes of one record."""
        return self._serializer.serialize_example(self._features.encode_example(example))

    def add(self, split: str, record: bytes) -> int:
        """Appends an encoded record to a split and returns its index there."""
        if split not in self._splits:
            self._splits[split] = _SplitWriter(self._folder, split, self._shard_bytes)
        writer = self._splits[split]
        writer.add(record)
        return sum(writer.counts) - 1

    def count(self, split: str) -> int:
        """Records added to a split so far."""
        return sum(self._splits[split].counts) if split in self._splits else 0

    def close(self) -> None:
        """Closes the open files (before an unfinished folder is removed)."""
        for writer in self._splits.values():
            writer.close()

    def finish(self, index_name: str, index: Mapping[str, Any], description: str) -> None:
        """Writes the TFDS metadata and, last, `index_name` with `index`, shards and fingerprint.

        The fingerprint `sha256` covers the records of every split in order and the index without
        its `arguments` and `report`: the same content has the same fingerprint, however it was
        made and cut into files.
        """
        tfds = _tfds()

        splits = dict(sorted(self._splits.items()))
        shards = {split: writer.finish(self._name) for split, writer in splits.items()}
        info = tfds.core.DatasetInfo(
            builder=tfds.core.dataset_info.DatasetIdentity(
                name=self._name,
                version=tfds.core.Version(_VERSION),
                data_dir=os.fspath(self._folder),
                module_name="jaxgesture",
            ),
            description=description,
            features=self._features,
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
                            data_dir=self._folder,
                            dataset_name=self._name,
                            split=split,
                            filetype_suffix="array_record",
                        ),
                    )
                    for split, files in shards.items()
                ]
            )
        )
        info.write_to_directory(self._folder)
        content = {key: value for key, value in index.items() if key not in _NOT_CONTENT}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        for split, writer in splits.items():
            digest.update(split.encode() + writer.digest.digest())
        full = {
            **index,
            "name": self._name,
            "sha256": digest.hexdigest(),
            "shards": {s: [dataclasses.asdict(x) for x in files] for s, files in shards.items()},
            "written_with": {
                package: importlib.metadata.version(package)
                for package in ("array_record", "tensorflow-datasets", "numpy", "pillow", "av")
            },
        }
        text = json.dumps(full, indent=1, ensure_ascii=False) + "\n"
        (self._folder / index_name).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def building(directory: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A fresh folder `DIRECTORY.partial`, renamed to `DIRECTORY` if the block ends well.

    What an interrupted run left under the partial name is removed first.
    """
    final = pathlib.Path(directory).expanduser()
    partial = final.with_name(final.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"cannot create {partial}: {error.strerror}; name a writable place for the dataset"
        ) from error
    try:
        yield partial
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise UserError(
                f"the disk of {final} is full; free some space or name another"
            ) from error
        raise
    if final.is_dir():
        final.rmdir()  # only ever an empty folder: `finished` refused all others
    os.replace(partial, final)


def read_index(
    directory: str | os.PathLike, index_name: str, kind: str, format: int = _FIRST_FORMAT
) -> dict[str, Any]:
    """The parsed index of a finished dataset; all its record files are checked to be complete.

    Args:
        directory: the dataset's folder.
        index_name: "clips.json" or "motion.json".
        kind: the value that the index must have under "kind"; named in messages.
        format: the version that it must have under "format", 1 where it has none.

    Raises:
        UserError: no such folder, not a dataset of this kind, of another version, or files missing
            or cut short.
    """
    folder = pathlib.Path(directory).expanduser()
    if not folder.is_dir():
        raise UserError(f"no {kind} dataset at {folder}: there is no such folder; check the path")
    path = folder / index_name
    if not path.is_file():
        raise UserError(
            f"{folder} is not a finished {kind} dataset: it has no {index_name}; "
            "write it again, or name another folder"
        )
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        found = index["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); write the dataset again") from error
    if found != kind:
        raise UserError(f"{path} describes a {found!r} dataset, a {kind!r} one is needed")
    written = index.get("format", _FIRST_FORMAT)
    if written != format:
        age = "an older" if written < format else "a newer"
        raise UserError(
            f"{folder} was written by {age} version of jaxgesture; delete it and prepare it again"
        )
    for name in ("dataset_info.json", "features.json"):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name} is missing; write the dataset again")
    for shards in index["shards"].values():
        for shard in shards:
            file = folder / shard["file"]
            if not file.is_file():
                raise UserError(f"{file} is missing; copy it again or write the dataset again")
            if file.stat().st_size != shard["bytes"]:
                raise UserError(
                    f"{file} has {file.stat().st_size} bytes, {shard['bytes']} were written; "
                    "copy it again or write the dataset again"
                )
    return index


def finished(
    directory: str | os.PathLike,
    index_name: str,
    kind: str,
    arguments: Mapping[str, Any],
    format: int = _FIRST_FORMAT,
) -> bool:
    """Whether `directory` already holds this dataset, made with these arguments.

    Raises:
        UserError: the folder holds something else, or the same kind made with other arguments or
            by another version.
    """
    folder = pathlib.Path(directory).expanduser()
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UserError(f"{folder} is a file, a folder is needed; name another one")
    if not any(folder.iterdir()):
        return False
    if not (folder / index_name).is_file():
        raise UserError(
            f"{folder} is not empty and holds no finished {kind} dataset; "
            "empty it or name another folder"
        )
    there = read_index(folder, index_name, kind, format)["arguments"]
    wanted = json.loads(json.dumps(arguments))
    if there == wanted:
        return True
    keys = [k for k in sorted({*there, *wanted}) if there.get(k) != wanted.get(k)]
    raise UserError(
        f"{folder} holds a {kind} dataset made with other {', '.join(keys)}; "
        "delete it or name another folder"
    )


class RecordReader:
    """Random access to the records of a finished dataset; can be pickled, opens files lazily."""

    def __init__(self, directory: pathlib.Path, index: Mapping[str, Any]):
        self.directory = directory
        self._shards = index["shards"]
        self._sources: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the open files, which every process opens for itself."""
        return {"directory": self.directory, "_shards": self._shards}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The counterpart of `__getstate__`."""
        self.__dict__.update(state, _sources={}, _lock=threading.Lock())

    def count(self, split: str) -> int:
        """Records of a split; 0 where the dataset has no such split."""
        return sum(shard["records"] for shard in self._shards.get(split, ()))

    def _source(self, split: str) -> Any:
        with self._lock:
            if split not in self._sources:
                tfds = _tfds()

                builder = tfds.builder_from_directory(self.directory)
                decoders = {
                    name: tfds.decode.SkipDecoding()
                    for name, feature in builder.info.features.items()
                    if isinstance(feature, tfds.features.Image)
                }
                self._sources[split] = builder.as_data_source(split, decoders=decoders)
            return self._sources[split]

    def read(self, split: str, index: int) -> dict[str, Any]:
        """Record `index` of a split: numbers and arrays decoded, images as their encoded bytes.

        Raises:
            UserError: the record cannot be read; names its file and its place in it.
        """
        if not 0 <= index < self.count(split):
            raise IndexError(f"record {index} of {self.count(split)} in split {split!r}")
        source = self._sources[split] if split in self._sources else self._source(split)
        try:
            return source[index]
        except Exception as error:
            raise UserError(f"{self.where(split, index)}: {_short(error)}") from error

    def where(self, split: str, index: int) -> str:
        """The start of a message about a record: the file that holds it and its place there."""
        for shard in self._shards[split]:
            if index < shard["records"]:
                file = self.directory / shard["file"]
                return f"{file} is damaged at record {index}, copy or write the dataset again"
            index -= shard["records"]
        raise IndexError(index)


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__} {lines[0][:120]}" if lines else type(error).__name__
