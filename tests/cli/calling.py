"""Commands run in this process."""

import importlib
import pathlib
import sys

from jaxgesture.cli import flags
from jaxgesture.cli import main as cli

ROOT = pathlib.Path(cli.__file__).resolve().parents[2]


def call(*arguments) -> int:
    """Runs a command line and returns its status.

    A process runs one command; here each starts with its flags' defaults.
    """
    name = f"jaxgesture.cli.{arguments[0]}" if arguments else ""
    if name in sys.modules:
        importlib.reload(sys.modules[name])
    return cli.main(["jaxgesture", *map(str, arguments)])


def run(module, *arguments) -> None:
    """Runs a command's module with its flags; what it raises is raised here."""
    name = module.__name__.rpartition(".")[2]
    module.FLAGS.unparse_flags()
    for flag in module.FLAGS:
        module.FLAGS[flag].unparse()
    assert flags.parse(module, [name, *arguments])
    module.run()
