"""Directories of records: what is written comes back by number; what does not fit is told."""

import errno
import json
import os
import pickle

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxgesture.core.errors import UserError
from jaxgesture.data import record_writer, records
from jaxgesture.data.building import building

INDEX, KIND = "things.json", "things"
ARGUMENTS = {"of": "a.mp4", "sizes": [1, 2]}


def _features(**more):
    bytes_ = tfds.features.Encoding.BYTES
    return tfds.features.FeaturesDict(
        {
            "name": tfds.features.Text(),
            "number": tfds.features.Scalar(np.int32),
            "flag": tfds.features.Scalar(np.bool_),
            "row": tfds.features.Tensor(shape=(3,), dtype=np.float32, encoding=bytes_),
            **more,
        }
    )


def _example(number, **more):
    row = np.array([number, np.nan, -np.inf], np.float32)
    return {"name": f"Ü{number}", "number": number, "flag": number % 2 == 1, "row": row, **more}


def _write(folder, groups, *, shard_bytes=10**6, features=None, examples=_example, **index):
    """A dataset of groups of records; `groups` are pairs of a split and numbers."""
    with building(folder, {"by": "test"}) as partial:
        features = features or _features()
        writer = record_writer.RecordWriter(partial, "things", features, shard_bytes)
        firsts = []
        for split, numbers in groups:
            made = [writer.encode(examples(number)) for number in numbers]
            digest = record_writer.group_digest(made)
            firsts.append(writer.add(split, len(made), digest, lambda made=made: made))
        writer.finish(INDEX, {"kind": KIND, "arguments": ARGUMENTS, **index}, "Things.")
    return firsts


def _reader(folder):
    return records.RecordReader(folder, records.read_index(folder, INDEX, KIND))


GROUPS = (("train", [0, 1, 2]), ("test", [3]), ("train", [4]), ("train", [5, 6, 7, 8]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "set"
    assert _write(path, GROUPS) == [0, 0, 3, 4]
    return path


def _copy(folder, tmp_path):
    """A second name for the files, and an index of its own to change."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy, json.loads((copy / INDEX).read_text())


def test_records_come_back_by_number(folder):
    reader = _reader(folder)
    assert [reader.count(split) for split in ("train", "test", "none")] == [8, 1, 0]
    for split, numbers in (("train", [0, 1, 2, 4, 5, 6, 7, 8]), ("test", [3])):
        for place, number in enumerate(numbers):
            found = reader.read(split, place)
            assert found["name"] == f"Ü{number}".encode() and found["number"] == number
            assert found["flag"] is (number % 2 == 1)
            np.testing.assert_array_equal(found["row"], _example(number)["row"])
    for split, number in (("train", 8), ("train", -1), ("none", 0)):
        with pytest.raises(IndexError, match=f"record {number} of"):
            reader.read(split, number)


def test_features_that_only_tfds_can_read(tmp_path):
    """A list has no fixed place in a record, so that all of it goes through TFDS."""
    more = {
        "share": tfds.features.Scalar(np.float32),
        "list": tfds.features.Sequence(tfds.features.Scalar(np.int64)),
        "any": tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
    }

    def example(number):
        rows = np.full((number, 2), 0.5, np.float32)
        return _example(number, share=number / 4, list=list(range(number)), any=rows)

    _write(tmp_path / "set", [("train", [3, 1])], features=_features(**more), examples=example)
    found = _reader(tmp_path / "set").read("train", 0)
    assert found["share"] == 0.75 and found["any"].shape == (3, 2)
    assert list(found["list"]) == [0, 1, 2] and found["number"] == 3
    np.testing.assert_array_equal(found["row"], _example(3)["row"])


def test_a_reader_travels_without_its_files(folder):
    reader = _reader(folder)
    reader.read("train", 0)
    copy = pickle.loads(pickle.dumps(reader))
    assert copy._sources == {} and copy.read("train", 7)["number"] == 8


@pytest.mark.parametrize("shard_bytes", [1, 250, 10**6])
def test_files_end_with_groups_and_the_fingerprint_does_not_know_them(
    folder, tmp_path, shard_bytes
):
    _write(tmp_path / "set", GROUPS, shard_bytes=shard_bytes)
    index = json.loads((tmp_path / "set" / INDEX).read_text())
    sizes = [shard["records"] for shard in index["shards"]["train"]]
    assert sizes == {1: [3, 1, 4], 250: [4, 4], 10**6: [8]}[shard_bytes]
    names = [shard["file"] for shard in index["shards"]["train"]]
    assert names[-1] == f"things-train.array_record-{len(sizes) - 1:05d}-of-{len(sizes):05d}"
    assert index["sha256"] == json.loads((folder / INDEX).read_text())["sha256"]
    reader = _reader(tmp_path / "set")
    assert [reader.read("train", i)["number"] for i in range(8)] == [0, 1, 2, 4, 5, 6, 7, 8]
    for number, (file, place) in enumerate((n, i) for n, s in enumerate(sizes) for i in range(s)):
        assert f"{names[file]} is damaged at record {place}," in reader.where("train", number)


@pytest.mark.parametrize(
    ("groups", "index", "same"),
    [
        (GROUPS, {"report": {"warnings": ["x"]}, "arguments": {"other": 1}}, True),
        (GROUPS, {"size": 8}, False),
        (GROUPS[:2], {}, False),
        ((GROUPS[2], *GROUPS[:2], GROUPS[3]), {}, False),
        ([("validation", [0, 1, 2]), *GROUPS[1:]], {}, False),
        # The same records in other groups: where a clip ends is content.
        ((("train", [0, 1]), ("train", [2]), *GROUPS[1:]), {}, False),
    ],
)
def test_what_the_fingerprint_covers(folder, tmp_path, groups, index, same):
    _write(tmp_path / "set", groups, **index)
    found = json.loads((tmp_path / "set" / INDEX).read_text())["sha256"]
    assert (found == json.loads((folder / INDEX).read_text())["sha256"]) == same


def test_digests_of_groups_know_where_a_record_ends():
    digest = record_writer.group_digest
    assert digest([b"ab", b"c"]) == digest(iter([b"ab", b"c"])) != digest([b"a", b"bc"])
    assert len({digest([]), digest([b""]), digest([b"", b""]), digest([b"\0"])}) == 4


def test_encoding_is_the_same_every_time():
    first, second = (record_writer.RecordEncoder(_features()) for _ in range(2))
    assert first(_example(1)) == second(_example(1)) != second(_example(2))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, None])
def test_refusals_of_the_system_keep_their_number(number):
    text = f"UNKNOWN: {os.strerror(number) if number else 'a bug'}; writing record"
    with pytest.raises(OSError if number else RuntimeError) as caught, record_writer._as_os_error():
        raise RuntimeError(text)
    assert number is None or caught.value.errno == number  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "format", "message"),
    [
        ({"kind": "frames"}, 1, "describes a 'frames' dataset, a 'things' one is needed"),
        ({"format": 3}, 2, "was written by a newer version of jaxgesture; delete it and prepare"),
        ({}, 2, "was written by an older version"),
        ({"format": None}, 1, r"things.json is damaged \(format None\); write the dataset again"),
    ],
)
def test_an_index_of_another_kind_or_version(folder, tmp_path, change, format, message):
    copy, index = _copy(folder, tmp_path)
    (copy / INDEX).write_text(json.dumps({**index, **change}))
    with pytest.raises(UserError, match=message):
        records.read_index(copy, INDEX, KIND, format)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"format": 1}', '"kind"', "7"])
def test_an_index_that_is_none(folder, tmp_path, text):
    copy, _ = _copy(folder, tmp_path)
    (copy / INDEX).write_text(text)
    with pytest.raises(UserError, match=r"things.json is damaged \(.*write the dataset again"):
        records.read_index(copy, INDEX, KIND)


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_descriptions_that_are_missing(folder, tmp_path, name):
    copy, _ = _copy(folder, tmp_path)
    (copy / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing; write the dataset again"):
        records.read_index(copy, INDEX, KIND)


def test_what_is_there_already(folder, tmp_path):
    def finished(place, arguments=ARGUMENTS):
        return records.finished(place, INDEX, KIND, arguments)

    assert not finished(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    assert not finished(tmp_path / "empty")
    # As JSON has it: a tuple is a list.
    assert finished(folder, {**ARGUMENTS, "sizes": (1, 2)})
    with pytest.raises(UserError, match="made with other of, sizes; delete it or name another"):
        finished(folder, {"sizes": [1, 3]})
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file, a folder is needed"):
        finished(tmp_path / "file")
    with pytest.raises(UserError, match="is not empty and holds no finished things dataset"):
        finished(tmp_path)
