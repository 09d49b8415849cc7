"""What notebooks show, without a notebook: displays are recorded."""

import base64
import json
import subprocess
import sys
import types

import IPython.display
import numpy as np
import pytest
from PIL import Image

from jaxgesture import notebook
from jaxgesture.core.errors import UserError

SIDE = 16


class Handle:
    def __init__(self, content):
        self.contents = [content]

    def update(self, content):
        self.contents.append(content)


@pytest.fixture
def shown(monkeypatch):
    """The handles of what was displayed, in order."""
    handles = []

    def display(content, display_id=False):
        handles.append(Handle(content))
        return handles[-1] if display_id else None

    monkeypatch.setattr(IPython.display, "display", display)
    return handles


def log(workdir, *lines):
    workdir.mkdir(exist_ok=True)
    with (workdir / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def draw(workdir, step, name="reconstruction_0", grey=0):
    """A strip of eight squares: white truth, what the model makes of it, a black control."""
    strip = np.zeros((3 * SIDE, 8 * SIDE, 3), np.uint8)
    strip[:SIDE], strip[SIDE : 2 * SIDE] = 255, grey
    (workdir / "images").mkdir(parents=True, exist_ok=True)
    Image.fromarray(strip).save(workdir / "images" / f"{name}_{step:07d}.png")


def test_start_quiets_bars_and_says_what_runs():
    code = (
        "import sys, warnings\n"
        "from jaxgesture import notebook\n"
        "assert not {'jax', 'tqdm', 'IPython'} & set(sys.modules)\n"
        "notebook.start(preallocate=False)\n"
        "import os, tqdm\n"
        "assert tqdm.tqdm([], disable=False).mininterval == 10\n"
        "assert os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'] == 'false'\n"
        "from jaxgesture.core.errors import DataWarning\n"
        "warnings.warn('no sound', DataWarning)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("jaxgesture 0.1.0, JAX ") and " on 1 x cpu" in run.stdout
    assert "jaxgesture: warning: no sound\n" in run.stderr


def test_live_shows_what_there_is_and_updates_it(shown, tmp_path):
    live = notebook.Live("stage1", tmp_path, every_s=0.0)
    live(1, None, {})
    assert not shown  # nothing was logged
    log(tmp_path, {"step": 5, "train/loss_pixel_1": 0.5, "speed/step_seconds": 0.25})
    live(5, None, {})
    where, curves = shown
    assert where.contents[0].data == "**step 5**, 0.25 s a step"
    draw(tmp_path, 5)
    log(tmp_path, {"step": 9, "train/loss_pixel_1": 0.4}, {"step": 9, "eval/psnr": 20.0})
    live(9, None, {})
    assert [len(handle.contents) for handle in shown] == [2, 2, 1]
    assert where.contents[-1].data == "**step 9**, 0.25 s a step"
    assert curves.contents[0].data != curves.contents[1].data  # the curve has grown
    strip = tmp_path / "images" / "reconstruction_0_0000005.png"
    assert shown[2].contents[0].data == strip.read_bytes()


def test_live_waits_but_shows_the_end(shown, tmp_path):
    log(tmp_path, {"step": 1, "train/loss": 1.0})
    with pytest.raises(KeyboardInterrupt), notebook.Live("stage2", tmp_path, every_s=1e6) as live:
        live(1, None, {})
        live(2, None, {})
        assert len(shown[0].contents) == 1
        log(tmp_path, {"step": 3, "train/loss": 0.5})
        raise KeyboardInterrupt
    assert shown[0].contents[-1].data == "**step 3**"


def test_history_of_a_run(tmp_path):
    for number, step in enumerate((10, 20, 30)):
        draw(tmp_path, step, grey=60 * number)
        draw(tmp_path, step, "reconstruction_1", grey=200)  # another clip
    notebook.history(tmp_path)
    picture = np.asarray(Image.open(tmp_path / "history.png").convert("L")).astype(int)
    rows = [int(row.mean()) for row in np.array_split(picture[:, 220:300], 4)]
    assert picture.shape[0] == pytest.approx(4 * 100, abs=8)
    assert rows[0] > 240 and np.all(np.abs(np.diff(rows[1:]) - 60) < 12) and rows[1] < 30


def test_a_long_history_is_thinned_out(tmp_path):
    for step in range(0, 1000, 50):
        draw(tmp_path, step)
    notebook.history(tmp_path)
    height = Image.open(tmp_path / "history.png").height
    assert height == pytest.approx(7 * 100, abs=8)  # the truth and six steps
    with pytest.raises(UserError, match="has no pictures yet; train on"):
        notebook.history(tmp_path / "other")


def test_scores_of_the_newest_evaluation(tmp_path):
    log(tmp_path, {"step": 5, "train/loss": 0.5})
    for folder in (tmp_path, tmp_path / "other"):
        with pytest.raises(UserError, match="was not judged yet; train on"):
            notebook.scores(folder)
    log(tmp_path, {"step": 5, "eval/psnr": 20.0, "eval/ssim": 0.5}, {"step": 6, "train/loss": 0.4})
    log(tmp_path, {"step": 10, "eval/psnr": 21.0, "eval/psnr_mean_frame": 19.5, "eval/ssim": 0.6})
    lines = notebook.scores(tmp_path).data.splitlines()
    assert "step 10" in lines[0] and "step 5" not in lines[0]
    assert [line.split()[1:4:2] for line in lines[2:]] == [
        ["psnr", "21"], ["psnr_mean_frame", "19.5"]
    ]  # fmt: skip


def test_videos_are_embedded_beside_each_other(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"film")
    (tmp_path / "b.JPG").write_bytes(b"picture")
    page = notebook.videos({"a <b>": tmp_path / "a.mp4", "b": tmp_path / "b.JPG"}, width=99).data
    assert f'<video width="99" src="data:video/mp4;base64,{base64.b64encode(b"film").decode()}' in (
        page
    )
    assert f"data:image/jpeg;base64,{base64.b64encode(b'picture').decode()}" in page
    assert "a &lt;b&gt;" in page and page.count("<figure") == page.count("</figure>") == 2
    assert page.count("controls") == page.count("</video>") == 1


def test_pictures_below_each_other(shown, tmp_path):
    draw(tmp_path, 1)
    path = tmp_path / "images" / "reconstruction_0_0000001.png"
    notebook.show(path, str(path))
    assert [handle.contents[0].data for handle in shown] == 2 * [path.read_bytes()]


def test_a_table():
    text = notebook.table(["what", "dB"], ("model", 23.4567), ("frames", 12)).data
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert cells[0] == ["what", "dB"] and cells[2:] == [["model", "23.5"], ["frames", "12"]]


def test_uploads_are_for_colab(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="only Colab asks for files: put a picture beside"):
        notebook.upload("a picture")
    answers = iter([{"me.png": b"..."}, {}])
    files = types.SimpleNamespace(upload=lambda: next(answers))
    colab = types.ModuleType("google.colab")
    colab.files = files  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.chdir(tmp_path)
    assert notebook.upload("a picture") == tmp_path / "me.png"
    with pytest.raises(UserError, match="no file was chosen; run the cell again and choose a pic"):
        notebook.upload("a picture")
