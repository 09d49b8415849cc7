"""`jaxgesture study`: its help, a study from videos to a table, and what is said when it fails."""

import json

import numpy as np
import pytest
from study import material

COMMAND = ("study",)
MEANS = {
    system: dict.fromkeys(material.QUESTIONS, mean)
    for system, mean in {"ours": 3.4, "other": 2.5, "truth": 4.4}.items()
}


@pytest.fixture(scope="module")
def systems(tmp_path_factory):
    folders = material.make_systems(tmp_path_factory.mktemp("systems"))
    return "--systems=" + ",".join(f"{name}={folder}" for name, folder in folders.items())


def test_help(run):
    status, out, err = run("--help")
    assert (status, err) == (0, "")
    listed = {line.split(":")[0][4:] for line in out.splitlines() if line.startswith("  --")}
    assert listed == {
        "systems", "out", "clips", "raters", "seed", "title", "question", "send_to", "key",
        "answers", "incomplete", "keep_all_equal",
    }  # fmt: skip
    assert out.startswith("jaxgesture study: ") and "Try:" in out
    assert "make | collect: make the page, or collect answers" in out
    assert run("make", "--help")[1] == run("collect", "-h")[1] == out


def test_from_videos_to_a_table(run, systems, tmp_path):
    status, out, err = run(
        "make", systems, f"--out={tmp_path / 'study'}", "--clips=6", "--raters=8", "--seed=3",
        "--title=Speakers",
    )  # fmt: skip
    assert (status, err) == (0, "") and "8 plans of 6 videos" in out
    assert "keep it private, never beside the page" in out
    key = json.loads((tmp_path / "study" / "key.json").read_text())
    assert (key["title"], key["seed"], len(key["plans"])) == ("Speakers", 3, 8)
    rng = np.random.default_rng(0)
    for rater in range(1, 9):
        found = material.answers_of(key, rater, material.opinions(MEANS, rng))
        material.write(tmp_path / "answers", f"{rater}.json", found)
    material.write(tmp_path / "answers", "broken.json", "{")
    files = [tmp_path / "new" / name for name in ("table.md", "table.json")]
    status, out, err = run(
        "collect", f"--key={tmp_path / 'study' / 'key.json'}", f"--answers={tmp_path / 'answers'}",
        f"--out={files[0]},{files[1]}",
    )  # fmt: skip
    assert status == 0 and files[0].read_text() == out
    assert err.count("jaxgesture: warning: ") == 1 and "broken.json is left out: broken JSON" in err
    means = {
        system: row["overall"]["mean"]
        for system, row in json.loads(files[1].read_text())["systems"].items()
    }
    assert means["other"] < means["ours"] < means["truth"]


def test_questions_of_ones_own(run, systems, tmp_path):
    status, _, _ = run(
        "make", systems, f"--out={tmp_path / 's'}", "--question=overall",
        "--question=lips=How well do the lips fit, all in all?", "--send-to=Mail it to a@b.c.",
    )  # fmt: skip
    public = json.loads((tmp_path / "s" / "page" / "study.json").read_text())
    assert status == 0 and public["send_to"] == "Mail it to a@b.c."
    assert [(q["name"], q["label"]) for q in public["questions"]] == [
        ("overall", "Overall quality"), ("lips", "Lips"),
    ]  # fmt: skip
    assert public["questions"][1]["text"] == "How well do the lips fit, all in all?"


def test_making_that_fails(refuses, systems, tmp_path):
    (tmp_path / "empty").mkdir()
    out = f"--out={tmp_path / 'study'}"
    (tmp_path / "alone").mkdir()
    material.make_video(tmp_path / "alone" / "another.mp4")
    first = systems.removeprefix("--systems=").split(",")[0]
    cases = {
        (): "--systems is missing: name folders of videos",
        (systems,): "--out is missing: name the folder of the study",
        (systems, f"{out},b"): "is more than a folder; name one",
        ("--systems=ours", out): "'ours' is not NAME=FOLDER",
        ("--systems=a=x,a=y", out): "--systems names a twice",
        (f"--systems=a={tmp_path / 'none'}", out): "system a: there is no folder",
        (f"--systems=a={tmp_path / 'empty'}", out): "has no .mp4, .webm, .m4v files",
        (f"--systems={first},b={tmp_path / 'alone'}", out): "no clip is common to the systems",
        (systems, out, "--clips=2"): "too few for a rater to see each of 3 systems",
        (systems, out, "--seed=-1"): "seed is -1; choose 0 or more",
        (systems, out, "--raters=0"): "--raters=0 leaves nobody to rate",
        (systems, out, "--question=How real?"): "write NAME=TEXT with a name of small letters",
        (systems, out, "--question=beauty"): "write beauty=TEXT; without a text there are realness",
        (systems, out, "--question=overall", "--question=overall=x"): "name every --question once",
        (systems, f"--out={tmp_path}"): "is not empty; a study is never overwritten",
        (systems, out, "--key=x"): "--key is not for `study make`; leave it out",
    }
    for arguments, message in cases.items():
        # Both systems lack clips of each other's, which is said before.
        warned = 2 if "no clip is common" in message else 0
        assert message in refuses("make", *arguments, warned=warned)
    assert {p.name for p in tmp_path.iterdir()} == {"empty", "alone"}


def test_two_files_of_one_clip(refuses, tmp_path):
    (tmp_path / "a").mkdir()
    for suffix in (".mp4", ".m4v"):
        (tmp_path / "a" / f"x{suffix}").touch()
    message = refuses("make", f"--systems=a={tmp_path / 'a'}", f"--out={tmp_path / 's'}")
    assert "x.m4v and x.mp4" in message and "are the same clip; keep one of them" in message


def test_collecting_that_fails(refuses, tmp_path):
    key = material.write(tmp_path, "key.json", "{}")
    cases = {
        (): "--key is missing: name the key.json",
        (f"--key={key}",): "--answers is missing: name the folder",
        (f"--key={key}", f"--answers={tmp_path}"): "is no key of a study",
        (f"--key={tmp_path / 'none'}", f"--answers={tmp_path}"): "cannot read the key",
        (f"--key={key}", "--answers=x", "--out=t.txt"): "name a file that ends in .md or .json",
        (f"--key={key}", "--answers=x", "--incomplete=half"): "half",
        (f"--key={key}", "--answers=x", "--seed=1"): "--seed is not for `study collect`",
    }
    for arguments, message in cases.items():
        assert message in refuses("collect", *arguments)
    assert "study has no subject 'collec'; did you mean 'collect'?" in refuses("collec")
    assert "name a subject, make or collect" in refuses()
