"""Files of raters and the key: what is read of them, one by one."""

import json

import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.study import answers
from jaxgesture.study.answers import Key, Unusable

KEY = Key("s1", "Title", ["ours", "true"], {"real": "Realness", "sync": "Synchrony"},
          {"aa": ("ours", "c0"), "bb": ("true", "c0"), "cc": ("ours", "c1")})  # fmt: skip
FULL = {"ratings": {"real": 4, "sync": 2}}


def _file(folder, found=None, *, videos=None, raw=None, **changes):
    content = {
        "study": "s1", "rater": " 7 ", "finished": "2026-05-01T12:00:00Z",
        "started": "2026-05-01T11:00:00Z", "order": ["aa", "bb"],
        "answers": videos or {"aa": FULL, "bb": FULL}, **changes,
    }  # fmt: skip
    path = folder / "7.json"
    path.write_bytes(raw if raw is not None else json.dumps(found or content).encode())
    return path


def _read(folder, **changes):
    return answers.read(_file(folder, **changes), KEY)


def test_a_whole_file(tmp_path):
    found = _read(tmp_path)
    assert found.rater == "7" and found.complete and not found.faults and not found.all_equal
    assert found.ratings == {
        ("aa", "real"): 4, ("aa", "sync"): 2, ("bb", "real"): 4, ("bb", "sync"): 2,
    }  # fmt: skip
    assert (found.unrated, found.failed, found.file) == (0, 0, str(tmp_path / "7.json"))


def test_a_mark_of_the_byte_order_does_no_harm(tmp_path):
    path = _file(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert answers.read(path, KEY).complete


@pytest.mark.parametrize(
    ("changes", "complete", "unrated"),
    [
        ({"finished": None}, False, 0),
        ({"finished": 5}, False, 0),
        ({"order": ["aa", "bb", "cc"]}, False, 1),
        # Videos that the study does not have were not asked for.
        ({"order": ["aa", "zz"]}, True, 0),
        ({"order": []}, True, 0),
        ({"order": "aabb"}, True, 0),
        ({"videos": {"aa": FULL, "bb": {"ratings": {"real": 4}}}}, False, 1),
        ({"videos": {"aa": FULL, "bb": {"ratings": {}, "failed": True}}}, True, 0),
    ],
)
def test_who_is_finished(tmp_path, changes, complete, unrated):
    found = _read(tmp_path, **changes)
    assert (found.complete, found.unrated) == (complete, unrated)


@pytest.mark.parametrize("value", [0, 6, 2.0, True, "4", None, [4]])
def test_what_is_no_rating(tmp_path, value):
    videos = {"aa": {"ratings": {"real": value, "sync": 3}}, "bb": FULL}
    found = _read(tmp_path, videos=videos)
    (fault,) = found.faults
    assert fault.startswith("video aa, real: ") and fault.endswith("a whole number from 1 to 5")
    # It was given all the same: nothing was left out.
    assert found.complete and ("aa", "real") not in found.ratings and len(found.ratings) == 3


def test_what_belongs_to_nothing_is_named(tmp_path):
    videos = {"aa": {"ratings": {"real": 4, "sync": 1, "hue": 5}}, "zz": FULL, "bb": [1],
              "cc": {"ratings": 3}}  # fmt: skip
    found = _read(tmp_path, videos=videos, order=["aa"])
    assert found.faults == [
        "video aa: unknown question 'hue'", "unknown video 'zz'", "video bb: holds no ratings",
        "video cc: holds no ratings",
    ]  # fmt: skip
    assert found.complete and len(found.ratings) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"raw": b"{"}, "broken JSON: "),
        ({"raw": b"\xff\xfe"}, "broken JSON: "),
        ({"raw": b"[" * 100_000}, "broken JSON: nested too deeply"),
        ({"raw": b"[]"}, "holds no answers"),
        ({"raw": b"null"}, "holds no answers"),
        ({"answers": [1]}, "holds no answers"),
        ({"study": "s2"}, "answers of another study, 's2', not 's1'"),
        ({"study": None}, "answers of another study, None"),
        ({"rater": "  "}, "does not name its rater"),
        ({"videos": {"aa": {"ratings": {"real": 9}}}}, "has no rating that can be used: video aa"),
        ({"videos": {"aa": {"ratings": {}}}}, "has no rating that can be used"),
    ],
)
def test_files_of_no_use(tmp_path, changes, reason):
    with pytest.raises(Unusable) as caught:
        _read(tmp_path, **changes)
    assert str(caught.value).startswith(reason)


def test_a_file_that_is_gone(tmp_path):
    with pytest.raises(Unusable, match="cannot be read: No such file"):
        answers.read(tmp_path / "none.json", KEY)


@pytest.mark.parametrize(
    ("ratings", "equal"),
    [({"real": 3, "sync": 3}, True), ({"real": 3}, False), ({"real": 3, "sync": 4}, False)],
)
def test_answers_that_are_all_alike(tmp_path, ratings, equal):
    videos = {"aa": {"ratings": ratings}}
    assert _read(tmp_path, videos=videos, order=["aa"]).all_equal == equal


def _key(folder, **changes):
    found = {
        "study": "s1", "title": "T", "systems": ["b", "a"],
        "questions": [{"name": "real", "label": "Realness", "text": "?"}],
        "videos": {"aa": {"system": "a", "clip": "c", "source": "x.mp4"}}, **changes,
    }  # fmt: skip
    path = folder / "key.json"
    path.write_text(json.dumps(found))
    return path


def test_the_key(tmp_path):
    key = answers.read_key(_key(tmp_path))
    assert key == Key("s1", "T", ["b", "a"], {"real": "Realness"}, {"aa": ("a", "c")}, 5)


@pytest.mark.parametrize(
    "changes",
    [{"systems": None}, {"questions": [{"name": "x"}]}, {"videos": {"aa": "ours"}}, {"videos": []}],
)
def test_what_is_no_key(tmp_path, changes):
    with pytest.raises(UserError, match=r"is no key of a study; name the key\.json that"):
        answers.read_key(_key(tmp_path, **changes))
