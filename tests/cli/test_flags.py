"""Flags of a command by themselves: how they are read, explained, refused; and what is written."""

import errno
import os
import sys
import types

import pytest
from absl import flags as absl_flags
from ml_collections import config_flags

from jaxgesture.cli import flags
from jaxgesture.core.errors import UserError


def _command(**extra):
    """A module of a command with a few flags, and what else is given."""
    module = types.ModuleType("draw")
    module.__doc__ = "jaxgesture draw: draws.\n\nTry:\n  jaxgesture draw\n"
    values = flags.new()
    absl_flags.DEFINE_string("out", None, "where to", flag_values=values)
    absl_flags.DEFINE_integer("max_size", 8, "pixels", lower_bound=1, flag_values=values)
    absl_flags.DEFINE_boolean("keep", True, "keeps", flag_values=values)
    absl_flags.DEFINE_list("names", None, "of things", flag_values=values)
    if "SUBJECTS" in extra:
        absl_flags.DEFINE_string("subject", None, "what to draw", flag_values=values)
    module.FLAGS = values  # type: ignore[attr-defined]
    vars(module).update(extra)
    return module


SUBJECTS = {"SUBJECTS": ("face", "hand"), "SUBJECT_OF": {"names": "hand", "out": "face"}}


def _parsed(*arguments, **extra):
    module = _command(**extra)
    assert flags.parse(module, ["draw", *arguments])
    return module.FLAGS


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        ([], "max_size", 8),
        (["--max_size=3"], "max_size", 3),
        (["--max-size=3"], "max_size", 3),
        (["--max-size", "3"], "max_size", 3),
        (["-max_size=3"], "max_size", 3),
        (["--nokeep"], "keep", False),
        (["--keep=false"], "keep", False),
        (["--keep"], "keep", True),
        (["--names=a,b c,-d"], "names", ["a", "b c", "-d"]),
        (["--out=a=b--c-d"], "out", "a=b--c-d"),
        (["--out="], "out", ""),
    ],
)
def test_values(arguments, name, value):
    assert _parsed(*arguments)[name].value == value


SEE = "see jaxgesture draw --help"
WRONG = {
    "--max_size=x": f"max_size.*{SEE}",
    "--max_size=0": f"max_size.*{SEE}",
    "--max_siz=3": "Unknown command line flag 'max_siz'. Did you mean: max_size",
    "--keep=perhaps": f"keep.*{SEE}",
    "--out": f"out.*{SEE}",
    "x.mp4": "do not know what to do with 'x.mp4': other arguments are flags, --name=value",
    "--out=y x.mp4 --keep": "do not know what to do with 'x.mp4'",
    "-- --out=y": "do not know what to do with '--out=y'",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_is_not_understood(line):
    with pytest.raises(UserError, match=WRONG[line]) as caught:
        _parsed(*line.split())
    assert "\n" not in str(caught.value)


def test_parsing_leaves_the_programs_arguments():
    before = list(sys.argv)
    _parsed("--out=x")
    with pytest.raises(UserError):
        _parsed("--stray=x")
    assert sys.argv == before and absl_flags.FLAGS.is_parsed()


@pytest.mark.parametrize(
    ("arguments", "subject"),
    [
        (["face"], "face"),
        (["hand", "--out=x"], "hand"),
        (["--subject=face"], "face"),
        # Where the word is left out, the first flag that belongs to one tells it.
        (["--out=x"], "face"),
        (["--names=a", "--out=x"], "hand"),
    ],
)
def test_the_subject(arguments, subject):
    assert _parsed(*arguments, **SUBJECTS).subject == subject


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a subject, face or hand: jaxgesture draw face ...; see"),
        (["--keep"], "name a subject"),
        (["fase"], "draw has no subject 'fase'; did you mean 'face'"),
        (["face", "hand"], "do not know what to do with 'hand'"),
    ],
)
def test_no_subject(arguments, message):
    with pytest.raises(UserError, match=message):
        _parsed(*arguments, **SUBJECTS)


def test_the_first_word_may_stand_for_a_flag():
    assert _parsed("a b.mp4", "--keep", POSITIONAL="out").out == "a b.mp4"
    assert _parsed("--keep", POSITIONAL="out").out is None
    with pytest.raises(UserError, match="do not know what to do with 'b'"):
        _parsed("a", "b", POSITIONAL="out")


@pytest.mark.parametrize("word", ["--help", "-h", "-help"])
def test_help_does_nothing_else(capsys, word):
    module = _command(**SUBJECTS)
    assert not flags.parse(module, ["draw", "--max_size=x", word])
    assert capsys.readouterr().out == flags.help_text(module) + "\n"


def test_the_text_of_the_help():
    text = flags.help_text(_command(**SUBJECTS, POSITIONAL="out"))
    assert text.startswith("jaxgesture draw: draws.\n\nTry:\n")
    assert "\nsubject, in front of the flags:\n  face | hand: what to draw\n" in text
    assert "\nthe first word may stand for --out\n" in text
    listed = dict(line.split(": ", 1) for line in text.splitlines() if line.startswith("  --"))
    assert listed == {
        "  --out": "where to",
        "  --max_size": "pixels (default: '8')",
        "  --keep": "keeps (default: 'true')",
        "  --names": "of things",
    }


def test_flags_that_must_be_given():
    values = _parsed("--out=", "--names=a")
    assert flags.required(values, "names", "name things") == ["a"]
    with pytest.raises(UserError, match="--out is missing: name the folder"):
        flags.required(values, "out", "name the folder")


def test_flags_of_another_subject():
    of = {"face": {"out"}, "hand": {"out", "names"}}
    flags.only_of(_parsed("--out=x", "--keep"), "face", of, "draw")
    flags.only_of(_parsed("--names=x"), "hand", of, "draw")
    with pytest.raises(UserError, match="--names is not for `draw face`; leave it out"):
        flags.only_of(_parsed("--names=x"), "face", of, "draw")


def test_files_to_write_are_tried_and_not_changed(tmp_path):
    there = tmp_path / "there.json"
    there.write_text("kept")
    names = [str(there), str(tmp_path / "a" / "b" / "new.md")]
    assert flags.output_files(names, (".json", ".md")) == [there, tmp_path / "a/b/new.md"]
    assert there.read_text() == "kept" and list((tmp_path / "a/b").iterdir()) == []
    assert flags.output_files(None, (".md",)) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("table.txt", "--out=.*table.txt: name a file that ends in .md or .json"),
        ("table", "name a file that ends in"),
        ("folder.md", "--out=.*folder.md is a folder; name a file in it"),
        ("file.md/x.md", "--out=.*x.md cannot be written: .*; choose another place"),
    ],
)
def test_files_that_cannot_be_written(tmp_path, name, message):
    (tmp_path / "folder.md").mkdir()
    (tmp_path / "file.md").touch()
    with pytest.raises(UserError, match=message):
        flags.output_files([str(tmp_path / name)], (".md", ".json"))


def test_outputs_are_whole_or_not_there(tmp_path, monkeypatch):
    first, lost, last = (tmp_path / name for name in ("a.md", "gone/b.md", "c.md"))
    first.write_text("old and longer than what follows")
    with pytest.raises(
        UserError, match=r"could not write .*b.md \(No such file or directory\); ch"
    ):
        flags.write_outputs({first: "new", lost: "x", last: "ü"})
    # One that fails keeps back no other, and nothing else is left.
    assert first.read_text() == "new" and last.read_bytes() == "ü".encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.md", "c.md"]

    def full(self, text, encoding):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(type(first), "write_text", full)
    with pytest.raises(UserError, match="No space left"):
        flags.write_outputs({first: "newer"})
    assert first.read_text() == "new"


@pytest.mark.parametrize("there", [True, False])
def test_the_file_of_a_configuration(tmp_path, monkeypatch, there):
    file = tmp_path / "c.py"
    if there:
        file.write_text(
            "import ml_collections\n\n\ndef get_config(word='none'):\n"
            "    return ml_collections.ConfigDict({'word': word, 'size': 1})\n"
        )
    monkeypatch.chdir(tmp_path)
    for given in (["--config=c.py:debug"], ["--config", "c.py:debug"]):
        module = _command()
        config_flags.DEFINE_config_file("config", None, "FILE:PRESET", flag_values=module.FLAGS)
        assert "  --config: FILE:PRESET" in flags.help_text(module).splitlines()
        arguments = ["draw", *given, "--config.size=3"]
        if there:
            assert flags.parse(module, arguments)
            assert (module.FLAGS.config.word, module.FLAGS.config.size) == ("debug", 3)
        else:
            with pytest.raises(UserError, match=f"there is no file c.py in {tmp_path}; give FILE"):
                flags.parse(module, arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing = missing_name\n", "the config file fails: NameError: .*missing_name.* line 1"),
        (
            "raise RuntimeError('odd')\n",
            "the config file fails: RuntimeError: odd; see .*c.py line",
        ),
        ("import no_such_module\n", "the config file fails: ModuleNotFoundError"),
        ("\nmine = {}['x']\n", "the config file fails: KeyError: 'x'; see .*c.py line 2"),
        ("mine = int('x')\n", "the config file fails: ValueError: .*; see .*c.py line 1"),
        ("\n\ndef (:\n", "c.py line 3 is no Python: invalid syntax"),
    ],
)
def test_a_configuration_that_fails(tmp_path, text, message):
    file = tmp_path / "c.py"
    file.write_text(text)
    module = _command()
    config_flags.DEFINE_config_file("config", None, "FILE:PRESET", flag_values=module.FLAGS)
    with pytest.raises(UserError, match=message):
        flags.parse(module, ["draw", f"--config={file}"])
    other = file.rename(tmp_path / "c.md")
    with pytest.raises(UserError, match="c.md is no Python file; give one such as configs/stage1"):
        flags.parse(module, ["draw", f"--config={other}:debug"])
