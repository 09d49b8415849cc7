"""Directories of records: TFDS datasets (`array_record`), read without TensorFlow.

A dataset is one flat folder, the one a user names everywhere (`tfds.builder_from_directory` opens
it, no version folder in between):

    dataset_info.json  features.json               what TFDS needs
    NAME-SPLIT.array_record-00000-of-00003 ...     records, in the order they were added
    dataset_card.json                              what is in it, for people
    INDEX.json                                     ours, written last: its presence means finished

Records are stored uncompressed with one record a group: images are compressed already, and a single
record is then one short read. `record_writer` makes such folders.
"""

import importlib
import json
import os
import pathlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxgesture.core.errors import UserError

# Of an index that states none.
_FIRST_FORMAT = 1


def _tfds() -> Any:
    """TFDS, imported late (0.4 s); its lazy modules are unknown to type checkers."""
    return importlib.import_module("tensorflow_datasets")


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
    if not isinstance(written, int):
        raise UserError(f"{path} is damaged (format {written!r}); write the dataset again")
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
        self._sources: dict[str, _Source] = {}
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

    def _source(self, split: str) -> "_Source":
        with self._lock:
            if split not in self._sources:
                try:
                    self._sources[split] = _Source(self.directory, split)
                except Exception as error:  # JSON, protobuf and TFDS have their own
                    raise UserError(
                        f"dataset_info.json or features.json of {self.directory} is damaged "
                        f"({_short(error)}); copy or write the dataset again"
                    ) from error
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
            return source.read(index)
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


class _Source:
    """The records of a split.

    TFDS's parser looks at every field with regular expressions, 60 us a record; where it is known
    beforehand how each feature is stored, ours takes 15.
    """

    def __init__(self, directory: pathlib.Path, split: str):
        tfds = _tfds()
        builder = tfds.builder_from_directory(directory)
        features = dict(builder.info.features)
        images = [n for n, feature in features.items() if isinstance(feature, tfds.features.Image)]
        skip = {name: tfds.decode.SkipDecoding() for name in images}
        self._parsed = builder.as_data_source(split, decoders=skip)
        self._bytes = self._parsed.data_source  # the same records, not parsed
        self._message = importlib.import_module("tensorflow_datasets.proto").tf_example_pb2.Example
        found = {name: _field_reader(tfds, feature) for name, feature in features.items()}
        self._fields = {name: read for name, read in found.items() if read is not None}
        self._is_plain = len(self._fields) == len(found)

    def read(self, index: int) -> dict[str, Any]:
        if not self._is_plain:
            return self._parsed[index]
        stored = self._message.FromString(self._bytes[index]).features.feature
        return {name: read(stored[name]) for name, read in self._fields.items()}


def _field_reader(tfds: Any, feature: Any) -> Callable[[Any], Any] | None:
    """What reads a feature from its field as TFDS does, images apart; None if only TFDS can."""
    if isinstance(feature, (tfds.features.Image, tfds.features.Text)):
        return lambda field: field.bytes_list.value[0]
    if isinstance(feature, tfds.features.Scalar):
        if feature.np_dtype == np.bool_:
            return lambda field: bool(field.int64_list.value[0])
        if np.issubdtype(feature.np_dtype, np.integer):
            return lambda field: field.int64_list.value[0]
        return None
    if isinstance(feature, tfds.features.Tensor) and None not in feature.shape:
        dtype, shape = feature.np_dtype, feature.shape
        if feature.get_serialized_info().np_dtype == np.object_:
            return lambda field: np.frombuffer(field.bytes_list.value[0], dtype).reshape(shape)
    return None


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__} {lines[0][:240]}" if lines else type(error).__name__
