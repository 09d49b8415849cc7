"""`jaxgesture COMMAND ...`: finds the command's module and runs it; errors are one line."""

import importlib
import os
import pathlib
import sys
import warnings
from collections.abc import Sequence

COMMANDS = {
    "prepare": "cut videos, PATS, or the built-in synthetic presenter into a dataset",
    "landmarks": "find hands and face in videos with MediaPipe, for prepare",
    "inspect": "what is in a dataset: a table, and pictures to look at",
    "train": "train stage 1 (configs/stage1.py) or stage 2 (configs/stage2.py)",
    "extract": "write the motion features of a dataset with a trained stage 1",
    "generate": "make a video from a picture of a speaker and a speech recording",
    "evaluate": "measure a trained model on held-out clips, beside controls",
    "study": "a page on which people rate videos, and their ratings in a table",
    "convert": "weights of the released PyTorch model into ours, and back",
    "benchmark": "how fast the networks are, in JAX and in PyTorch",
    "plan": "what training needs of a TPU slice that is not here",
    "demo": "the whole line on the synthetic presenter, with a page of results",
}

USAGE = """jaxgesture: speech-driven gesture video.

usage: jaxgesture COMMAND [flags]
       jaxgesture COMMAND --help

commands:
{commands}

A first run, nothing to download:   jaxgesture demo --out=out/demo
"""

INTERRUPTED = "interrupted; the same command goes on from what was saved"


def usage() -> str:
    """The text of `jaxgesture --help`."""
    lines = [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
    return USAGE.format(commands="\n".join(lines))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    argv = list(sys.argv if argv is None else argv)
    if len(argv) < 2 or argv[1] in ("-h", "--help", "help"):
        print(usage())
        return 0 if len(argv) > 1 else 1
    name = argv[1]
    if name not in COMMANDS:
        from jaxgesture.core.config import nearest

        return _fail(f"no command {name!r}; {nearest(name, COMMANDS)}")
    _quiet()
    return run(name, argv[1:])


def run(name: str, argv: Sequence[str]) -> int:
    """Runs a command with its flags; `argv[0]` is the command's name."""
    from jaxgesture.core.errors import DataWarning, UserError

    warnings.showwarning = show_warning
    warnings.simplefilter("always", DataWarning)
    try:
        from jaxgesture.cli import flags

        module = importlib.import_module(f"jaxgesture.cli.{name}")
        if not flags.parse(module, argv):
            return 0
        use_compilation_cache()
        module.run()
    except UserError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, 130)
    except ImportError as error:
        # Libraries in C++ make such an error of a Ctrl-C while they start.
        if "initializing the extension" not in str(error) or not _interrupted(error):
            raise
        return _fail(INTERRUPTED, 130)
    except OSError as error:
        if error.errno is None:
            raise
        return _fail(
            f"{error.filename or 'a file'}: {error.strerror}; check path, rights and disk space"
        )
    return 0


def _interrupted(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, below the user's cache folder."""
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is None:
        base = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(base / "jaxgesture" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _quiet() -> None:
    # Notices of the libraries below, which tell a user nothing.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GLOG_minloglevel", "2")


def show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """Stands for `warnings.showwarning`: one line, and of what does not concern a user none."""
    from jaxgesture.core.errors import DataWarning

    if issubclass(category, DataWarning):
        print(f"jaxgesture: warning: {message}", file=sys.stderr)
    elif not issubclass(category, DeprecationWarning | FutureWarning):
        print(f"{filename}:{lineno}: {category.__name__}: {message}", file=sys.stderr)


def _fail(message: str, status: int = 1) -> int:
    print(f"jaxgesture: error: {' '.join(message.split())}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
