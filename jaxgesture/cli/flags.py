"""Flags of the commands: each command has its own set, and a --help that shows only those.

A command whose module has a tuple `SUBJECTS` takes one of these words in front of its flags,
`jaxgesture COMMAND SUBJECT --flag=value`, and finds it in its flag "subject"; where the word is
left out, the first given flag of the module's `SUBJECT_OF` (flag -> subject) tells it. One whose
module names a flag in `POSITIONAL` takes the value of that flag without its name, `jaxgesture
COMMAND VALUE`. Dashes within the name of a flag are read as underscores.
"""

import contextlib
import pathlib
import sys
import traceback
import types
from collections.abc import Iterator, Mapping, Sequence

from absl import flags
from ml_collections import config_flags

from jaxgesture.core.config import nearest
from jaxgesture.core.errors import UserError

SUBJECT = "subject"


def new() -> flags.FlagValues:
    """An empty set of flags for a command, with --help in it."""
    values = flags.FlagValues()
    flags.DEFINE_boolean("help", False, "show this text", short_name="h", flag_values=values)
    return values


def parse(module: types.ModuleType, argv: Sequence[str]) -> bool:
    """Parses a command's flags; returns False where its help was asked for and printed.

    Args:
      module: the command; its docstring and its `FLAGS` are the help.
      argv: the command's name and its arguments.

    Raises:
      UserError: for an unknown flag or subject, a wrong value, a stray argument, or a configuration
        file that fails.
    """
    values = module.FLAGS
    if any(argument in ("-h", "--help", "-help") for argument in argv[1:]):
        print(help_text(module))
        return False
    subjects = _subjects(module)
    first = SUBJECT if subjects else getattr(module, "POSITIONAL", None)
    if first and len(argv) > 1 and not argv[1].startswith("-"):
        argv = [argv[0], f"--{first}={argv[1]}", *argv[2:]]
    argv = [argv[0], *(_underscored(argument, values) for argument in argv[1:])]
    _check_config_file(values, argv)
    before = sys.argv
    sys.argv = list(argv)  # ml_collections looks for its overrides there
    try:
        rest = values(list(argv))[1:]
    except UserError:
        raise
    except OSError as error:
        raise UserError(
            f"cannot read the config file {error.filename}: {error.strerror}"
        ) from error
    except Exception as error:  # a config file is a program
        if told := _in_config(error, _config_files(values, argv)):
            raise UserError(f"the config file fails: {told}") from error
        text = str(error.args[0] if error.args else error)
        text = " ".join(text.replace("\\n", " ").replace("\\'", "'").split())
        if len(text) > 1 and text[0] == text[-1] == "'":  # the repr of a message
            text = text[1:-1]
        if isinstance(error, AttributeError | KeyError):
            text = f"no such key in the configuration: {_key(text, argv)}"
        if isinstance(error, SyntaxError):
            text = f"{error.filename} line {error.lineno} is no Python: {text}"
        raise UserError(f"{text}; see jaxgesture {argv[0]} --help") from error
    finally:
        sys.argv = before
    if rest:
        raise UserError(
            f"do not know what to do with {rest[0]!r}: other arguments are flags, --name=value; "
            f"see jaxgesture {argv[0]} --help"
        )
    if subjects and values[SUBJECT].value is None:
        of: Mapping[str, str] = getattr(module, "SUBJECT_OF", {})
        values[SUBJECT].value = next((of[name] for name in of if values[name].present), None)
    if subjects:
        _check_subject(values[SUBJECT].value, subjects, argv[0])
    # Grain asks the global flags, which nobody else parses here.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    return True


def _key(text: str, argv: Sequence[str]) -> str:
    """The flag that a message which is one bare key speaks of."""
    key = text.strip("\"'")
    given = (argument.partition("=")[0] for argument in argv)
    return next((name for name in given if name.endswith(f".{key}")), text)


def _in_config(error: BaseException | None, files: Sequence[pathlib.Path]) -> str:
    """What was raised in one of the files, and where, "" for nothing."""
    while error is not None:
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if pathlib.Path(frame.filename).resolve() in files:
                told = f"{type(error).__name__}: {error}"
                return f"{told}; see {frame.filename} line {frame.lineno}"
        error = error.__cause__ or error.__context__
    return ""


def _underscored(argument: str, values: flags.FlagValues) -> str:
    """--list-downloads is written for --list_downloads."""
    name, equals, value = argument.partition("=")
    plain = name.lstrip("-").replace("-", "_")
    known = plain in values or plain.removeprefix("no") in values
    return f"--{plain}{equals}{value}" if name.startswith("--") and known else argument


def _check_config_file(values: flags.FlagValues, argv: Sequence[str]) -> None:
    """Says which config file is missing; ml_collections says it late, or not at all."""
    for name, file in _given_configs(values, argv):
        if file.is_file() and file.suffix != ".py":
            raise UserError(
                f"--{name}: {file} is no Python file; give one such as configs/stage1.py:debug"
            )
        if not file.is_file():
            place = "" if file.is_absolute() else f" in {pathlib.Path.cwd()}"
            raise UserError(
                f"--{name}: there is no file {file}{place}; give FILE:PRESET, such as "
                "configs/stage1.py:debug"
            )


def _config_files(values: flags.FlagValues, argv: Sequence[str]) -> list[pathlib.Path]:
    return [file.resolve() for _, file in _given_configs(values, argv)]


def _given_configs(
    values: flags.FlagValues, argv: Sequence[str]
) -> Iterator[tuple[str, pathlib.Path]]:
    """Flags of configurations, and the files they name."""
    for name in values:
        if not isinstance(values[name], config_flags.config_flags._ConfigFlag):
            continue
        for argument, following in zip(argv, [*argv[1:], ""], strict=True):
            given, equals, value = argument.lstrip("-").partition("=")
            if given != name or not argument.startswith("-"):
                continue
            yield name, pathlib.Path((value if equals else following).partition(":")[0])


def _subjects(module: types.ModuleType) -> tuple[str, ...]:
    return getattr(module, "SUBJECTS", ())


def _check_subject(word: str | None, subjects: Sequence[str], command: str) -> None:
    if word is None:
        raise UserError(
            f"name a subject, {' or '.join(subjects)}: jaxgesture {command} {subjects[0]} ...; see "
            f"jaxgesture {command} --help"
        )
    if word not in subjects:
        raise UserError(
            f"{command} has no subject {word!r}; {nearest(word, subjects)}; see "
            f"jaxgesture {command} --help"
        )


def help_text(module: types.ModuleType) -> str:
    """The command's docstring, its subjects, then its flags with defaults."""
    lines = [(module.__doc__ or "").strip(), ""]
    subjects = _subjects(module)
    if subjects:
        about = module.FLAGS[SUBJECT].help
        lines += ["subject, in front of the flags:", f"  {' | '.join(subjects)}: {about}", ""]
    positional = getattr(module, "POSITIONAL", None)
    if positional:
        lines += [f"the first word may stand for --{positional}", ""]
    lines.append("flags:")
    for name, flag in sorted(module.FLAGS.flags_by_module_dict().items()):
        del name
        for one in flag:
            if one.name == "help" or (subjects and one.name == SUBJECT):
                continue
            if isinstance(one, config_flags.config_flags._ConfigFlag):
                default = ""
            else:
                default = f" (default: {one.default_as_str})" if one.default is not None else ""
            lines.append(f"  --{one.name}: {one.help}{default}")
    return "\n".join(lines)


def required(values: flags.FlagValues, name: str, why: str) -> str:
    """The value of a flag that must be given.

    Raises:
      UserError: if it is empty, saying what it is for.
    """
    value = values[name].value
    if not value:
        raise UserError(f"--{name} is missing: {why}")
    return value


def only_of(values: flags.FlagValues, subject: str, of: Mapping[str, set[str]], what: str) -> None:
    """Refuses flags that are given for another subject.

    Args:
      values: the command's flags.
      subject: the one that was named.
      of: subject -> the flags that not all subjects have.
      what: name of the command.

    Raises:
      UserError: naming the first such flag.
    """
    for name in sorted(set().union(*of.values()) - of[subject]):
        if values[name].present:
            raise UserError(f"--{name} is not for `{what} {subject}`; leave it out")


def output_files(
    names: Sequence[str] | None, suffixes: Sequence[str], flag: str = "out"
) -> list[pathlib.Path]:
    """The files that a list flag names, their folders made; nothing in them is changed.

    Raises:
      UserError: if one ends in none of the suffixes, is a folder, or cannot be written.
    """
    files = [pathlib.Path(name).expanduser() for name in names or ()]
    for file in files:
        if file.suffix not in suffixes:
            raise UserError(f"--{flag}={file}: name a file that ends in {' or '.join(suffixes)}")
        if file.is_dir():
            raise UserError(f"--{flag}={file} is a folder; name a file in it")
        there = file.exists()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a"):
                pass
            if not there:
                file.unlink()
        except OSError as error:
            raise UserError(
                f"--{flag}={file} cannot be written: {error.strerror}; choose another place"
            ) from error
    return files


def write_outputs(texts: Mapping[pathlib.Path, str]) -> None:
    """Writes files, each whole in place of what is there; one that fails keeps back no other.

    Raises:
      UserError: if some could not be written, naming them.
    """
    failed = []
    for file, text in texts.items():
        temporary = file.with_name(f".{file.name}.tmp")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(file)
        except OSError as error:
            failed.append(f"{file} ({error.strerror})")
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    if failed:
        raise UserError(
            f"could not write {', '.join(failed)}; check rights and space, or name another"
        )
