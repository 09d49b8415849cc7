"""The notebooks: how they are kept, and all run from top to bottom at the smallest sizes."""

import ast
import configparser
import io
import json
import os
import pathlib
import re
import time

import nbformat
import pytest
from notebooks.running import FOLDER, NAMES, ROOT, read, tagged
from PIL import Image

from notebooks import running

REPOSITORY = "jaxgesture/jaxgesture"
LIMIT_S = 15 * 60
PRESENTER = {"size": 64, "identities": 2, "clips": 2, "seconds": 6.0}
DEBUG = {
    "01_data": {
        "validation": "last:1.0",
        "seconds": 4.0,
        "presenter": {name: value for name, value in PRESENTER.items() if name != "size"},
    },
    "02_train_stage1": {"steps": 24, "every": 6, "presenter": PRESENTER},
    "03_train_stage2": {"steps": 30, "every": 10, "speeches": 2, "presenter": PRESENTER},
    "04_generate": {
        "seconds": 4.0, "sampling_steps": 4, "seeds": [0, 1], "candidates": [1, 3],
        "guidances": [0.0, 2.0], "presenter": PRESENTER,
    },
    "05_benchmark": {
        "batches": [1, 4], "train_batch": 4, "precisions": ["float32"], "repeats": 3,
        "seconds": 1.0, "sampling_steps": 2,
    },
}  # fmt: skip


def test_all_are_there():
    assert list(DEBUG) == NAMES


@pytest.mark.parametrize("name", NAMES)
class TestKept:
    def test_valid_readable_and_without_outputs(self, name):
        text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
        plain = json.loads(text)
        assert text == json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
        nbformat.validate(plain)
        for cell in read(name).cells:
            assert re.fullmatch("[a-z0-9-]+", cell.id)
            if cell.cell_type == "code":
                assert cell.outputs == [] and cell.execution_count is None

    def test_opens_in_colab(self, name):
        title = read(name).cells[0]
        link = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/notebooks/{name}"
        assert title.cell_type == "markdown" and f"({link}.ipynb)" in title.source
        assert "colab-badge.svg" in title.source

    def test_the_first_code_cell_installs(self, name):
        first = next(cell for cell in read(name).cells if cell.cell_type == "code")
        assert first.id == "install" and f'SOURCE = "git+https://github.com/{REPOSITORY}"' in (
            first.source
        )
        config = configparser.ConfigParser()
        config.read(ROOT / "setup.cfg")
        extras = re.search(r'EXTRAS = "([a-z,]+)"', first.source)
        assert extras and set(extras[1].split(",")) <= set(config["options.extras_require"])
        assert ("torch" in extras[1]) == (name == "05_benchmark")

    def test_all_settings_are_in_one_cell(self, name):
        (cell,) = tagged(read(name), "parameters")
        defined = set()
        for line in ast.parse(cell.source).body:
            assert isinstance(line, ast.Assign), line
            ast.literal_eval(line.value)
            for target in line.targets:
                defined |= {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}
        assert set(DEBUG[name]) <= defined

    def test_cells_are_short(self, name):
        for cell in read(name).cells:
            if cell.cell_type == "code" and cell.id != "install":
                assert len(cell.source.splitlines()) <= 17, cell.id


@pytest.mark.parametrize("name", ["02_train_stage1", "03_train_stage2"])
def test_a_cell_for_tpus(name):
    (cell,) = (cell for cell in read(name).cells if cell.id == "tpu")
    assert 'jax.default_backend() == "tpu"' in cell.source and "bfloat16" in cell.source


def say(text: str) -> None:
    print(text, flush=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All notebooks run in order, the trainings twice; each cell's seconds are printed."""
    folder = tmp_path_factory.mktemp("notebooks")
    kept = pathlib.Path(os.environ.get("JAXGESTURE_NOTEBOOKS_OUT", folder / "executed")).absolute()
    start = time.monotonic()
    environment = running.Environment(folder)
    before = environment.packages()
    assert "ipykernel" in before and not before & {"jaxgesture", "numpy", "jax", "matplotlib"}
    say(f"\nenvironment with pip and ipykernel: {time.monotonic() - start:.1f} s")
    found = {}

    def run(label, name, values, **more):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_PATH", environment.variables["JUPYTER_PATH"])
            made = running.execute(name, values, environment, folder, **more)
        made.save(kept, label)
        found[label] = made
        say(f"{label}: {made.whole:.1f} s")
        for cell, seconds in made.seconds.items():
            say(f"  {cell:<20} {seconds:6.1f} s")

    checkout = {"JAXGESTURE_SOURCE": str(environment.source)}
    for name, values in DEBUG.items():
        if name == "02_train_stage1":  # its steps stay: the first run has no time for all of them
            run(f"{name}-cut", name, {**values, "minutes": 0.001}, **checkout)
            run(name, name, values)
        else:
            run(name, name, values, **checkout)
    run("03_train_stage2-again", "03_train_stage2", {**DEBUG["03_train_stage2"], "steps": 32})
    found["total"] = time.monotonic() - start
    say(f"total: {found['total']:.1f} s; executed notebooks and their pictures: {kept}")
    return found


def sizes(pictures):
    return [Image.open(io.BytesIO(data)).size for data in pictures]


@pytest.mark.e2e
@pytest.mark.slow
class TestRun:
    def test_within_the_time(self, runs):
        assert runs["total"] < LIMIT_S

    @pytest.mark.parametrize("name", [*NAMES, "02_train_stage1-cut", "03_train_stage2-again"])
    def test_quiet_and_without_errors(self, runs, name):
        outputs = runs[name].outputs()
        assert not [output for output in outputs if output.output_type == "error"]
        for output in outputs:
            if output.output_type == "stream":
                assert output.text.count("\r") < 20 and "Traceback" not in output.text
        assert "jaxgesture 0.1.0, JAX " in runs[name].texts("start")

    @pytest.mark.parametrize("name", ["02_train_stage1", "03_train_stage2-again"])
    def test_nothing_is_installed_again(self, runs, name):
        # They are given no checkout; pip, which says something of whatever it does, is not called.
        assert runs[name].outputs("install") == []

    def test_data(self, runs):
        run = runs["01_data"]
        assert "skipped  broken.mp4" in run.texts("prepare")
        # Sheet, pairs, audio features, lengths; of the folder and of the presenter.
        assert len(run.pictures("look")) == len(run.pictures("presenter")) == 4
        assert "identity100" in run.texts("presenter")
        assert run.videos("folder") == 3 and run.videos("play") == 1

    def test_stage1(self, runs):
        cut, run = runs["02_train_stage1-cut"], runs["02_train_stage1"]
        assert "starting at step 0 of 24" in cut.texts("train")
        (table,) = cut.shown("text/markdown", "learned")
        assert "step 1 " in table and cut.pictures("redraw")
        assert "resuming at step 1 of 24" in run.texts("train")
        assert "rendering the presenter" not in cut.texts() + run.texts()  # the first notebook has
        curves, strip = sizes(run.pictures("train"))
        assert curves[0] > 3 * curves[1] and strip == (8 * 64, 3 * 64)
        assert "**step 24**" in "".join(run.shown("text/markdown", "train"))
        assert len(run.pictures("history")) == len(run.pictures("redraw")) == 1
        (table,) = run.shown("text/markdown", "learned")
        assert "psnr_wrong_driving" in table and "step 24" in table

    def test_stage2(self, runs):
        run = runs["03_train_stage2"]
        assert "training stage 1" not in run.texts() and "starting at step 0" in run.texts("train")
        curves, strip = sizes(run.pictures("train"))
        assert curves[0] > 2 * curves[1] and strip == (8 * 64, 2 * 64)
        assert len(run.pictures("extract")) == 3 and len(run.pictures("history")) == 1
        (table,) = run.shown("text/markdown", "learned")
        assert "true_mouth_own_speech" in table

    def test_generate(self, runs):
        run = runs["04_generate"]
        assert "training stage" not in run.texts()
        counts = {"generate": 1, "seeds": 2, "candidates": 2, "guidance": 2}
        assert {cell: run.videos(cell) for cell in counts} == counts
        assert len(run.pictures("strip")) == len(run.pictures("guidance")) == 1
        (table,) = run.shown("text/markdown", "candidates")
        assert "seam jump" in table and "3 candidates" in table

    def test_benchmark(self, runs):
        run = runs["05_benchmark"]
        for stage, task in (("stage1", "train_step"), ("stage2", "speech")):
            assert len(run.pictures(stage)) == 1
            (tables,) = run.shown("text/markdown", stage)
            assert "torch eager / JAX" in tables and task in tables and "failed" not in tables
        assert "end to end" in tables  # the models of the other notebooks are there

    def test_training_goes_on(self, runs):
        again = runs["03_train_stage2-again"]
        assert "resuming at step 30 of 32" in again.texts("train") and again.pictures("train")
        assert not again.texts("install")  # what is there is not installed again
