"""Simulated raters: known means come back, and whatever is wrong in a file is named."""

import json

import numpy as np
import pytest
from study import material

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.study import collect, kit, report, scores

MEANS = {
    "ours": {"realness": 3.3, "diversity": 3.6, "synchrony": 3.4, "overall": 3.5},
    "other": {"realness": 2.2, "diversity": 2.6, "synchrony": 2.4, "overall": 2.3},
    "truth": {"realness": 4.5, "diversity": 4.0, "synchrony": 4.4, "overall": 4.3},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The key of a study, as a file and as what is in it."""
    folder = tmp_path_factory.mktemp("study")
    made = kit.make(material.make_systems(folder), folder / "study", raters=20, clips=12)
    return made.key, json.loads(made.key.read_text())


@pytest.fixture
def folder(study, tmp_path):
    """Files of four good raters."""
    rng = np.random.default_rng(1)
    for rater in range(1, 5):
        found = material.answers_of(study[1], rater, material.opinions(MEANS, rng))
        material.write(tmp_path / "answers", f"good{rater}.json", found)
    return tmp_path / "answers"


def good(study, rater, seed=9, **options):
    rng = np.random.default_rng(seed)
    return material.answers_of(study[1], rater, material.opinions(MEANS, rng), **options)


def collected(study, folder, **options):
    """The result, and the warnings as text."""
    with pytest.warns(DataWarning) as caught:
        found = collect.collect(study[0], [folder], **options)
    return found, "\n".join(str(w.message) for w in caught)


@pytest.mark.filterwarnings("error::jaxgesture.core.errors.DataWarning")
def test_known_means_of_twenty_raters(study, tmp_path):
    rng = np.random.default_rng(0)
    for rater in range(1, 21):
        found = material.answers_of(study[1], rater, material.opinions(MEANS, rng))
        material.write(tmp_path / "a", f"{rater}.json", found)
    found = collect.collect(study[0], [tmp_path / "a"])
    assert len(found.used) == 20 and not found.left_out
    inside = 0
    for system, questions in MEANS.items():
        for question, mean in questions.items():
            one = found.scores[system][question]
            assert (one.raters, one.ratings) == (20, 80)
            assert 0.05 < one.half_width < 0.3
            assert abs(one.mean - mean) < 1.5 * one.half_width
            inside += abs(one.mean - mean) < one.half_width
    assert inside >= 11  # of 12; an interval of 95 % may miss one
    assert all(0.4 < value < 0.9 for value in found.agreement.values())


def test_intervals_hold_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(2)
    hits = []
    for _ in range(1000):
        raters = {str(r): rng.normal(3 + rng.normal(0, 0.5), 0.7, 4) for r in range(8)}
        one = scores.score(raters)
        hits.append(abs(one.mean - 3) < one.half_width)
    # 0.95 with a standard error of 0.007; taking each rating by itself would give 0.83.
    assert 0.93 < np.mean(hits) < 0.97


def test_scores_by_hand():
    one = scores.score({"a": [1, 2, 3], "b": [4], "c": []})
    assert one.mean == 3.0 and (one.ratings, one.raters) == (4, 2)
    # Student's t of one degree of freedom is 12.706; s = sqrt(2).
    assert one.half_width == pytest.approx(12.7062, abs=1e-3)
    assert np.isnan(scores.score({"a": [3]}).half_width) and np.isnan(scores.score({}).mean)


def test_alpha_of_the_published_example():
    # Krippendorff 2011, section C: four observers, twelve units, alpha 0.849 for intervals.
    rows = (
        "1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    )  # fmt: skip
    units = [[int(v) for v in unit if v != "."] for unit in zip(*map(str.split, rows), strict=True)]
    assert scores.alpha(units) == pytest.approx(0.849, abs=5e-4)
    assert scores.alpha([[1, 1], [5, 5]]) == 1
    assert np.isnan(scores.alpha([[3, 3], [3, 3]])) and np.isnan(scores.alpha([[1], [2]]))
    noise = np.random.default_rng(0).integers(1, 6, (300, 5))
    assert abs(scores.alpha(list(noise))) < 0.06


def test_the_later_complete_file_of_a_rater_is_kept(study, folder):
    late = good(study, 2, 1, finished="2026-05-03T00:00:00.000Z")
    later = {**good(study, 2, 2), "finished": None}
    material.write(folder, "late.json", late)
    material.write(folder, "unfinished.json", later)
    found, text = collected(study, folder)
    assert f"good2.json is left out: rater 2 is in {folder / 'late.json'} too" in text
    assert "unfinished.json is left out: rater 2 is in" in text
    assert [item.kind for item in found.left_out] == ["duplicate", "duplicate"]
    assert len(found.used) == 4


def test_raters_who_answer_all_alike(study, folder):
    alike = material.answers_of(study[1], 5, lambda *_: 3)
    material.write(folder, "alike.json", alike)
    found, text = collected(study, folder)
    assert "alike.json is left out: every answer of rater 5 is 3; --keep_all_equal" in text
    assert len(found.used) == 4
    found, text = collected(study, folder, keep_all_equal=True)
    assert len(found.used) == 5 and "every answer of rater 5 is 3; kept" in text


@pytest.mark.parametrize("how", ["video", "question", "end"])
def test_unfinished_files(study, folder, how):
    part = good(study, 5)
    first = part["order"][0]
    if how == "video":
        del part["answers"][first]
    elif how == "question":
        del part["answers"][first]["ratings"]["overall"]
    else:
        part["finished"] = None
    material.write(folder, "part.json", part)
    reason = (
        "rater 5 did not come to the end"
        if how == "end"
        else "rater 5 left 1 videos without all ratings"
    )
    found, text = collected(study, folder)
    assert f"part.json is left out: {reason}; --incomplete=keep" in text and len(found.used) == 4
    found, text = collected(study, folder, keep_incomplete=True)
    assert f"part.json: {reason}; kept" in text and len(found.used) == 5


def test_a_video_that_did_not_play_is_no_omission(study, folder):
    part = good(study, 5)
    part["answers"][part["order"][0]] = {"ratings": {}, "plays": 0, "failed": True}
    material.write(folder, "failed.json", part)
    found, text = collected(study, folder)
    assert "1 videos did not play for rater 5" in text and len(found.used) == 5
    assert "Videos that did not play: 1" in report.markdown(found)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "broken JSON: Expecting property name"),
        ("", "broken JSON: Expecting value"),
        ("[" * 100_000, "broken JSON"),
        ("[1, 2]", "holds no answers"),
        ({"study": "x", "rater": "5"}, "holds no answers"),
        ({"study": "x", "rater": "5", "answers": {}}, "answers of another study, 'x', not"),
        ({"rater": " ", "answers": {}}, "does not name its rater"),
        ({"rater": "5", "answers": {}}, "has no rating that can be used"),
        (
            {"rater": "5", "answers": {"nil": {}}},
            "has no rating that can be used: unknown video 'nil'",
        ),
    ],
)
def test_files_that_cannot_be_used(study, folder, content, reason):
    if isinstance(content, dict):
        content = {"study": study[1]["study"], **content}
    material.write(folder, "bad.json", content)
    found, text = collected(study, folder)
    assert f"bad.json is left out: {reason}" in text
    assert [item.kind for item in found.left_out] == ["unusable"] and len(found.used) == 4


@pytest.mark.parametrize("value", [0, 6, 3.5, 3.0, "4", True, None, [1], 10**30])
def test_ratings_that_are_none_are_passed_over_and_the_others_used(study, folder, value):
    odd = good(study, 5)
    token = odd["order"][0]
    odd["answers"][token]["ratings"]["realness"] = value
    material.write(folder, "odd.json", odd)
    found, text = collected(study, folder)
    assert f"odd.json: video {token}, realness: {value!r} is not a whole number from 1 to 5" in text
    assert len(found.used) == 5 and sum(len(one.ratings) for one in found.used) == 5 * 48 - 1
    assert "Single answers passed over: 1" in report.markdown(found)


def test_unknown_videos_and_questions_are_passed_over(study, folder):
    odd = good(study, 5)
    odd["answers"]["ffff"] = {"ratings": {"realness": 1}}
    odd["answers"][odd["order"][0]]["ratings"]["beauty"] = 5
    odd["answers"][odd["order"][1]] = {"ratings": 4}
    material.write(folder, "odd.json", odd)
    found, text = collected(study, folder, keep_incomplete=True)
    assert "odd.json: unknown video 'ffff'; passed over" in text
    assert "unknown question 'beauty'; passed over" in text
    assert f"video {odd['order'][1]}: holds no ratings; passed over" in text
    assert len(found.used) == 5 and len(found.used[-1].faults) == 3


def test_nothing_usable(study, tmp_path):
    material.write(tmp_path / "a", "x.json", "{")
    material.write(tmp_path / "a", "y.json", "[]")
    with (
        pytest.warns(DataWarning),
        pytest.raises(UserError, match="none of 2 files of answers can be used"),
    ):
        collect.collect(study[0], [tmp_path / "a"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no .json file in"):
        collect.collect(study[0], [tmp_path / "empty"])
    with pytest.raises(UserError, match="there is no"):
        collect.collect(study[0], [tmp_path / "nowhere"])


def test_a_key_that_is_none(study, folder, tmp_path):
    other = material.write(tmp_path, "other.json", {"study": "x"})
    for path, message in (
        (other, "is no key of a study"),
        (tmp_path / "none.json", "cannot read the key"),
        (material.write(tmp_path, "list.json", "[]"), "is no key of a study"),
        (material.write(tmp_path, "broken.json", "{"), "is no key of a study"),
    ):
        with pytest.raises(UserError, match=message):
            collect.collect(path, [folder])


@pytest.mark.filterwarnings("error::jaxgesture.core.errors.DataWarning")
def test_the_table(study, folder):
    # The key may lie among the answers.
    (folder / "key.json").write_text(study[0].read_text())
    found = collect.collect(folder / "key.json", [folder, folder / "good1.json"])
    text = report.markdown(found)
    lines = text.splitlines()
    assert lines[0].startswith("| | Realness | Diversity of gesture | Synchrony of speech and")
    assert [line.split(" | ")[0] for line in lines[2:6]] == [
        "| ours", "| other", "| truth", "| *agreement (alpha)*",
    ]  # fmt: skip
    one = found.scores["ours"]["realness"]
    assert f"| ours | {one.mean:.2f} ± {one.half_width:.2f} | " in lines[2]
    assert lines[2].endswith("| 16 | 4 |") and lines[5].endswith("| 12 videos | 4 |")
    assert "Student's t over the raters' means" in text
    assert "4 used (0 of them incomplete, 0 all equal), 0 left out" in text
    full = json.loads(report.to_json(found))
    assert full["systems"]["ours"]["realness"]["mean"] == one.mean
    assert full["systems"]["ours"]["realness"]["high"] == one.mean + one.half_width
    assert full["agreement"] == found.agreement
    assert [item["rater"] for item in full["used"]] == ["1", "2", "3", "4"]


@pytest.mark.filterwarnings("error::jaxgesture.core.errors.DataWarning")
def test_one_rater_has_no_interval(study, folder):
    found = collect.collect(study[0], [folder / "good1.json"])
    assert " ± - |" in report.markdown(found)
    full = json.loads(report.to_json(found))
    assert full["systems"]["ours"]["overall"]["half_width"] == "nan"
