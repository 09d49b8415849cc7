"""Runs notebooks as a new user would: in an environment that only their first cell fills."""

import base64
import dataclasses
import os
import pathlib
import shutil
import subprocess
import time
import venv
from collections.abc import Mapping
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
KERNEL = "fresh"
CELL_LIMIT_S = 3600  # the whole is held to less; a busy machine should not cut it in the middle
_LEFT_OUT = ("tests", "docs", "out", "build", "__pycache__", "*.egg-info", ".*")


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def tagged(notebook: Any, tag: str) -> list[Any]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", ())]


def inject(notebook: Any, values: Mapping[str, Any]) -> None:
    """Puts a cell behind the parameters, as papermill does."""
    (parameters,) = tagged(notebook, "parameters")
    text = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    tags = {"tags": ["injected-parameters"]}
    cell = nbformat.v4.new_code_cell(text, id="injected", metadata=tags)
    notebook.cells.insert(notebook.cells.index(parameters) + 1, cell)


class Environment:
    """A virtual environment with pip and ipykernel alone, and a copy of the checkout."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.source = folder / "source"
        shutil.copytree(ROOT, self.source, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        self.prefix = folder / "venv"
        venv.create(self.prefix, with_pip=True)
        self.variables = {
            **{name: v for name, v in os.environ.items() if name != "PYTHONPATH"},
            "JUPYTER_PATH": str(self.prefix / "share" / "jupyter"),
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            # Most of what is installed is never imported.
            "PIP_NO_COMPILE": "1",
            # Nothing that was compiled before.
            "JAX_COMPILATION_CACHE_DIR": str(folder / "xla"),
        }
        self.python("-m", "pip", "install", "--quiet", "ipykernel")
        self.python("-m", "ipykernel", "install", "--prefix", self.prefix, "--name", KERNEL)

    def python(self, *arguments: object) -> str:
        """What the environment's Python prints."""
        command = [str(self.prefix / "bin" / "python"), *map(str, arguments)]
        run = subprocess.run(
            command, env=self.variables, capture_output=True, text=True, cwd=self.folder
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    def packages(self) -> set[str]:
        """Names of what is installed."""
        listed = self.python("-m", "pip", "list", "--format=freeze")
        return {line.partition("==")[0].lower() for line in listed.splitlines()}


@dataclasses.dataclass
class Run:
    """A notebook that was executed.

    Attributes:
        notebook: with its outputs.
        seconds: of each code cell, by its id.
        whole: seconds from the start of the kernel to its end.
    """

    notebook: Any
    seconds: dict[str, float]
    whole: float

    def outputs(self, cell: str | None = None) -> list[Any]:
        """Outputs of a cell, or of all."""
        cells = [c for c in self.notebook.cells if c.cell_type == "code" and cell in (None, c.id)]
        assert cells, cell
        return [output for c in cells for output in c.outputs]

    def texts(self, cell: str | None = None) -> str:
        """What was printed."""
        return "".join(o.text for o in self.outputs(cell) if o.output_type == "stream")

    def shown(self, kind: str, cell: str | None = None) -> list[Any]:
        """What was displayed of a MIME type."""
        data = [output.get("data", {}) for output in self.outputs(cell)]
        return [item[kind] for item in data if kind in item]

    def pictures(self, cell: str | None = None) -> list[bytes]:
        """PNG files that were displayed."""
        return [base64.b64decode(item) for item in self.shown("image/png", cell)]

    def videos(self, cell: str | None = None) -> int:
        """How many videos were displayed."""
        return sum(page.count("<video ") for page in self.shown("text/html", cell))

    def save(self, folder: pathlib.Path, name: str) -> None:
        """Writes the executed notebook and its pictures, to be looked at."""
        folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(self.notebook, folder / f"{name}.ipynb")
        for cell in self.notebook.cells:
            if cell.cell_type == "code":
                for number, data in enumerate(self.pictures(cell.id)):
                    (folder / f"{name}-{cell.id}-{number}.png").write_bytes(data)


def execute(
    name: str, values: Mapping[str, Any], environment: Environment, cwd: pathlib.Path, **more: str
) -> Run:
    """Executes a notebook from top to bottom; a cell that fails is an error.

    Args:
        name: of the notebook.
        values: of its parameters.
        environment: that its kernel runs in.
        cwd: where it runs.
        more: environment variables.

    Raises:
        CellExecutionError: a cell failed; `cwd` has the notebook so far, NAME-failed.ipynb.
    """
    notebook = read(name)
    inject(notebook, values)
    begun: dict[int, float] = {}
    seconds: dict[str, float] = {}

    def starts(cell: Any, cell_index: int) -> None:
        begun[cell_index] = time.monotonic()

    def ended(cell: Any, cell_index: int, execute_reply: Any) -> None:
        seconds[cell.id] = time.monotonic() - begun[cell_index]

    client = NotebookClient(
        notebook,
        timeout=CELL_LIMIT_S,
        kernel_name=KERNEL,
        resources={"metadata": {"path": str(cwd)}},
        on_cell_execute=starts,
        on_cell_executed=ended,
    )
    start = time.monotonic()
    try:
        client.execute(env={**environment.variables, **more})
    except Exception:
        nbformat.write(notebook, cwd / f"{name}-failed.ipynb")
        raise
    return Run(notebook, seconds, time.monotonic() - start)
