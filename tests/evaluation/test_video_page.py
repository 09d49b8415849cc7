"""The page on sets of videos, and its plots, of clips that are made up."""

import math
import pathlib
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from evaluation import made_up

from jaxgesture.evaluation import plots, video_page, video_plots, video_report
from jaxgesture.evaluation.clip_scores import REFERENCE
from jaxgesture.evaluation.video_sets import Recording

PROTOCOL = {
    "folders": {"reference": "true"}, "size": 48, "frames": 10, "fps": 25.0, "fvd_windows": 1,
    "versions": {"jax": "1"}, "commit": None,
}  # fmt: skip


def report(systems, recordings=None, missing=None):
    measured = made_up.measured(systems, recordings=recordings)
    return video_report.make(measured, missing or {}, PROTOCOL, [])


def moving(count=2, first=0):
    beats = np.array([0.5, 1.5])
    joints = {f"s/{k}": made_up.waving(first + k) for k in range(count)}
    return [made_up.clip(name, joints=j, beats=beats) for name, j in joints.items()]


@pytest.mark.parametrize(
    ("changes", "title", "names"),
    [
        # The first that is known; less LPIPS is better, more PSNR, less distance, more response.
        ([{"lpips": 0.3}, {"lpips": 0.1}, {"lpips": 0.2}], "LPIPS", ["1", "2", "0"]),
        ([{"psnr": 20.0}, {"psnr": math.inf}, {"psnr": 25.0}], "PSNR", ["1", "2", "0"]),
        ([{"pixels": 3.0}, {"pixels": math.nan}, {"pixels": 1.0}], "landmark distance", ["2", "0"]),
        ([{"response": 0.5}, {"response": 0.9}, {}], "beat response", ["1", "0"]),
    ],
)
def test_clips_in_the_order_of_the_first_score_that_is_known(changes, title, names):
    clips = []
    for number, values in enumerate(changes):
        one = made_up.clip(str(number))
        if "lpips" in values or "psnr" in values:
            psnr = values.get("psnr", 20.0)
            one.regions = made_up.pictures(psnr, **{k: v for k, v in values.items() if k != "psnr"})
        if "pixels" in values:
            one.distance = made_up.landmarks(values["pixels"])["distance"]
        if "response" in values:
            one.alignment = {"beat_response": values["response"]}
        clips.append(one)
    assert video_page.ranking(report({REFERENCE: [], "ours": clips}), "ours") == (title, names)


def test_clips_of_which_nothing_is_known_have_no_order():
    made = report({REFERENCE: [], "ours": [made_up.clip("a")]})
    assert video_page.ranking(made, "ours") is None
    page = video_page.page(made)
    assert "best and worst" not in page and "Clip by clip" not in page


@pytest.fixture
def players(tmp_path):
    """What is shown of a system's only video."""

    def show(name, size=10):
        recordings = {REFERENCE: {}, "ours": {}}
        if name:
            path = tmp_path / name
            path.write_bytes(b"x" * size)
            recordings["ours"] = {"a": Recording("a", video=path)}
        clip = made_up.clip("a", regions=made_up.pictures(20.0))
        made = report({REFERENCE: [made_up.clip("a")], "ours": [clip]}, recordings)
        return video_page.page(made)

    return show


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.mp4", 'src="data:video/mp4;base64,eHh4'),
        ("a.WEBM", 'src="data:video/webm;base64,'),
        ("a.avi", "a.avi: not played here, no format of browsers"),
        ("", "<figure class=none>no video<figcaption>ours"),
    ],
)
def test_what_a_browser_can_play_is_in_the_page(players, name, text):
    page = players(name)
    assert text in page and "no video<figcaption>true" in page
    assert page.count("<video") == ("base64" in text)


def test_a_video_that_is_too_large_is_not(players, monkeypatch):
    monkeypatch.setattr(video_page, "_LARGEST", 9)
    assert "a.mp4: not played here, too large" in players("a.mp4")
    assert "<video" in players("a.mp4", size=9)


def test_no_clip_is_among_the_best_and_the_worst():
    for count in range(1, 9):
        clips = [made_up.clip(f"clip{k}", regions=made_up.pictures(20.0 + k)) for k in range(count)]
        page = video_page.page(report({REFERENCE: [], "ours": clips}))
        shown = [part.split("</h3>")[0].split()[-1] for part in page.split("<article>")[1:]]
        assert len(set(shown)) == len(shown) == max(1, 2 * min(video_page.SHOWN, count // 2))
        assert shown[0] == f"clip{count - 1}" and (count == 1 or "clip0" in shown)


def test_names_are_text_and_nothing_is_left_open():
    names = {REFERENCE: moving(), "<b>$x$": moving(first=5)}
    page = video_page.page(report(names, missing={"F<VD": 'give "a" & b'}))
    assert "<b>" not in page and "&lt;b&gt;$x$ (2) against 2 true clips." in page
    assert "<dt>F&lt;VD</dt><dd>give &quot;a&quot; &amp; b</dd>" in page
    template = pathlib.Path(video_page.__file__).with_name("video_page.html").read_text()
    for word in ("$summary", "$tables", "$missing", "$scatter", "$clips", "$published"):
        assert word in template and word not in page


def svg(text):
    assert text is not None
    return ET.fromstring(text)


def test_speeds_are_drawn_where_joints_are_known():
    measured = made_up.measured({REFERENCE: moving(), "ours": moving(first=5)})
    both, alone = (
        svg(video_plots.speed_over_time(measured, "ours", name)) for name in ("s/0", "s/1")
    )
    assert both.tag.endswith("svg") and alone.tag.endswith("svg")
    measured.systems["ours"]["s/0"].joints = None
    assert svg(video_plots.speed_over_time(measured, "ours", "s/0")) is not None
    measured.systems[REFERENCE]["s/0"].joints = None
    assert video_plots.speed_over_time(measured, "ours", "s/0") is None
    assert video_plots.speed_over_time(measured, "ours", "none of them") is None


def test_a_scatter_of_nothing_is_none():
    clips = [made_up.clip("a")]
    assert video_plots.scatter(made_up.measured({REFERENCE: clips, "ours": clips})) is None
    # Joints of other recordings are no pair.
    assert video_plots.scatter(made_up.measured({REFERENCE: moving(), "ours": clips})) is None


@pytest.mark.parametrize("infinite", [False, True])
def test_panels_are_of_what_is_known(infinite):
    def clips():
        made = moving()
        for k, one in enumerate(made):
            psnr = math.inf if infinite else 20.0 + k
            one.regions, one.alignment = made_up.pictures(psnr), {"ha2g_bc": 0.5}
        return made

    drawn = svg(video_plots.scatter(made_up.measured({REFERENCE: moving(), "ours": clips()})))
    width, height = (float(drawn.get(side).removesuffix("pt")) for side in ("width", "height"))
    # One panel of speeds, and one of scores where they are numbers that can be drawn.
    assert width / height == pytest.approx((1 if infinite else 2) * 4.8 / 3.6, rel=0.01)


@pytest.mark.parametrize(
    ("label", "shown"),
    [("$\\frac{$", "$\\frac{$"), ("x" * 200, "x" * 27 + "…"), ("a & <b>", "a &amp; &lt;b&gt;"),
     ("_underscore", "_underscore")],
)  # fmt: skip
def test_any_name_of_a_system_stands_in_the_legend(label, shown):
    measured = made_up.measured({REFERENCE: moving(), label: moving(first=5)})
    for draw in (video_plots.scatter, lambda m: video_plots.speed_over_time(m, label, "s/0")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            text = draw(measured)
        assert svg(text) is not None
        assert shown in text.replace("\\$", "$")  # letters are paths; what they say is a comment


def test_systems_have_colours_of_their_own_as_long_as_there_are_some():
    labels = [f"system{k}" for k in range(7)]
    found = video_plots.colours(made_up.measured({REFERENCE: [], **{name: [] for name in labels}}))
    assert found[REFERENCE] == plots.INK and list(found)[1:] == labels
    assert len({found[name] for name in labels}) == len(plots.COLOURS)
    assert found["system0"] == found["system5"] != found["system4"]
