"""Flags of the commands: each command has its own set, and a --help that shows only those."""

import sys
import types
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from jaxgesture.core.errors import UserError


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
      UserError: for an unknown flag, a wrong value, or a stray argument.
    """
    values = module.FLAGS
    if any(argument in ("-h", "--help", "-help") for argument in argv[1:]):
        print(help_text(module))
        return False
    before = sys.argv
    sys.argv = list(argv)  # ml_collections looks for its overrides there
    try:
        rest = values(list(argv))[1:]
    except (flags.Error, AttributeError, KeyError, ValueError, TypeError, SyntaxError) as error:
        text = str(error.args[0] if error.args else error)
        text = " ".join(text.replace("\\n", " ").replace("\\'", "'").split())
        if len(text) > 1 and text[0] == text[-1] == "'":  # the repr of a message
            text = text[1:-1]
        if isinstance(error, AttributeError | KeyError):
            text = f"no such key in the configuration: {text}"
        raise UserError(f"{text}; see jaxgesture {argv[0]} --help") from error
    except OSError as error:
        raise UserError(
            f"cannot read the config file {error.filename}: {error.strerror}"
        ) from error
    finally:
        sys.argv = before
    if rest:
        raise UserError(
            f"do not know what to do with {rest[0]!r}: every argument is a flag, --name=value; "
            f"see jaxgesture {argv[0]} --help"
        )
    # Grain asks the global flags, which nobody else parses here.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    return True


def help_text(module: types.ModuleType) -> str:
    """The command's docstring, then its flags with defaults."""
    lines = [(module.__doc__ or "").strip(), "", "flags:"]
    for name, flag in sorted(module.FLAGS.flags_by_module_dict().items()):
        del name
        for one in flag:
            if one.name == "help":
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
