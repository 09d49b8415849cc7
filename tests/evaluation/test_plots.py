import numpy as np
from PIL import Image

from jaxgesture.evaluation import plots


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def painted(picture, colour):
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(picture.astype(int) - rgb).max(-1) < 12).sum()


def test_curves_draw_what_was_logged(tmp_path):
    lines = [{"step": i, "loss": 1 / (i + 1), "other": float(i)} for i in range(10)]
    lines.append({"step": 9, "eval/psnr": 20.0})  # a line without the metric
    path = tmp_path / "curves.png"
    panels = {"Loss": {"loss": "training", "missing": "never"}, "PSNR": {"other": "model"}}
    plots.curves(lines, panels, path, log=["Loss"])
    picture = pixels(path)
    height, width, _ = picture.shape
    assert width > 2 * height
    first, second = picture[:, : width // 2], picture[:, width // 2 :]
    assert painted(first, plots.COLOURS[0]) > 200 and painted(second, plots.COLOURS[0]) > 200
    assert painted(first, plots.COLOURS[1]) == 0  # nothing logged, nothing drawn
    # On a logarithmic axis the curve is another one.
    plots.curves(lines, panels, tmp_path / "linear.png")
    assert (pixels(tmp_path / "linear.png")[:, : width // 2] != first).any()


def test_curves_of_a_run_that_logged_nothing(tmp_path):
    plots.curves([], {"Loss": {"loss": "training"}}, tmp_path / "empty.png")
    assert painted(pixels(tmp_path / "empty.png"), plots.COLOURS[0]) == 0


def test_labelled_rows(tmp_path):
    red, blue = np.zeros((2, 8, 8, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    plots.labelled_rows({"source": [red], "true\nframes": [blue, red]}, tmp_path / "a.png", side=16)
    picture, left = pixels(tmp_path / "a.png"), plots.MARGIN
    assert picture.shape == (2 * 20 + 4, left + 2 * 20, 3)
    np.testing.assert_array_equal(
        picture[4:20, left : left + 16], np.broadcast_to(red[0, 0], (16, 16, 3))
    )
    np.testing.assert_array_equal(
        picture[24:40, left : left + 16], np.broadcast_to(blue[0, 0], (16, 16, 3))
    )
    np.testing.assert_array_equal(
        picture[24:40, left + 20 : left + 36], np.broadcast_to(red[0, 0], (16, 16, 3))
    )
    assert (picture[4:20, left + 20 : left + 36] == 255).all()  # the shorter row ends
    assert (picture[:20, :left] < 128).all(-1).any() and (picture[24:, :left] < 128).all(-1).any()
