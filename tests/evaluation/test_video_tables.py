"""Tables of sets of videos: which rows and columns there are, and what stands in the cells."""

import math

import numpy as np
import pytest
from evaluation import made_up

from jaxgesture.evaluation import published, regions, video_report, video_tables
from jaxgesture.evaluation.bootstrap import Interval
from jaxgesture.evaluation.clip_scores import POSE, REFERENCE
from jaxgesture.evaluation.video_summary import SetScore, summarise

NAN = math.nan


def tables(systems):
    found = video_tables.tables(summarise(made_up.measured(systems)))
    for table in found:
        assert {len(row) for row in table.rows} == {len(table.columns)}, table.title
    return {table.title: table for table in found}


def body(table):
    return {row[0]: row[1:] for row in table.rows}


def test_nothing_measured_makes_no_table():
    assert tables({REFERENCE: [made_up.clip("a")], "ours": [made_up.clip("a")]}) == {}


def test_pictures_of_two_systems_share_their_controls():
    systems = {REFERENCE: []} | {
        label: [made_up.clip("a", regions=made_up.pictures(psnr))]
        for label, psnr in (("one", 20.0), ("two", 25.0))
    }
    (table,) = tables(systems).values()
    assert table.columns == ("", *(f"{region}: PSNR / SSIM" for region in regions.REGIONS))
    assert {name: cells[-1] for name, cells in body(table).items()} == {
        "one": "20.00 / 0.900",
        "control: its frame half a clip away (one)": "19.00 / 0.900",
        "control: mean of the true frames": "18.00 / 0.900",
        "control: the first true frame": "17.00 / 0.900",
        "two": "25.00 / 0.900",
        "control: its frame half a clip away (two)": "24.00 / 0.900",
    }
    notes = " ".join(table.notes)
    assert "one: boxes not there, and left out: 1 of 4 hand, 1 of 4 lips." in notes


def test_a_region_that_is_never_seen_and_a_metric_of_one_system():
    seen, unseen = made_up.pictures(20.0, lpips=0.25), made_up.pictures(30.0)
    unseen["hand"] = unseen["hand"]._replace(means={}, used=0, absent=4)
    systems = {REFERENCE: [], "seen": [made_up.clip("a", regions=seen)],
               "unseen": [made_up.clip("a", regions=unseen)]}  # fmt: skip
    (table,) = tables(systems).values()
    assert table.columns[1] == "hand: PSNR / SSIM / LPIPS"
    assert body(table)["seen"][0] == "20.00 / 0.900 / 0.250"
    assert body(table)["unseen"][0] == video_tables.NONE
    assert "unseen: boxes not there, and left out: 4 of 4 hand" in " ".join(table.notes)


def test_motion_beside_the_same_motion_and_other_speech():
    def clips(own):
        return [
            made_up.clip(f"{k}", alignment={"ha2g_bc": own}, other={"ha2g_bc": 0.5 - 0.1 * k})
            for k in range(2)
        ]

    alone = [made_up.clip("a", alignment={"emage_bc": 0.25})]
    (table,) = tables({REFERENCE: clips(0.75), "ours": clips(0.25), "alone": alone}).values()
    found = body(table)
    assert list(found) == [
        "true motion", "true motion, other speech", "true motion, own less other",
        "ours", "ours, other speech", "ours, own less other", "alone",
    ]  # fmt: skip
    assert table.columns == ("", "HA2G BC", "EMAGE BC")
    assert found["ours, other speech"][0].startswith("0.450 [")
    assert found["true motion, own less other"][0].startswith("+0.300 [")
    assert found["ours, own less other"][0].startswith("-0.200 [")
    assert found["alone"] == ("-", "0.250")  # of one clip there is no interval


def test_sets_and_their_scale():
    rng = np.random.default_rng(0)

    def clips(scale):
        return [made_up.clip(f"{k}", features={POSE: scale * rng.standard_normal((3, 4))})
                for k in range(4)]  # fmt: skip

    table = tables({REFERENCE: clips(1), "ours": clips(3)})["Generation, of whole sets"]
    assert table.columns == ("", "FGD", "Div.")
    true, ours = body(table).values()
    assert "(x" not in "".join(true) and all("(x " in cell for cell in ours)


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (None, "-"), (SetScore(NAN, 1, 1, 1, 1), "-"),
        (SetScore(1234.56, NAN, NAN, 1, 1), "1234.6"), (SetScore(12.345, 0.5, 2, 1, 1), None),
        (SetScore(0.12345, 0.01, 1.0, 1, 1), "0.123 ± 0.010"),
    ],
)  # fmt: skip
def test_cells_of_sets(score, text):
    assert video_tables._set_cell(score) == (text or "12.35 ± 0.500 (x 2.00)")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (Interval(NAN, NAN, NAN, 0), "-"),
        (Interval(0.5, NAN, NAN, 1), "+0.500"),
        (Interval(math.inf, NAN, NAN, 3), "+inf"),
        (Interval(0.5, -0.25, 0.75, 9), "+0.500 [-0.250, 0.750]"),
        (Interval(-0.5, -0.75, -0.25, 9), "-0.500 [-0.750, -0.250]"),
        (Interval(-0.0001, -0.0004, 0.0002, 9), "0.000 [0.000, 0.000]"),
    ],
)
def test_cells_of_intervals(value, text):
    assert video_tables.interval(value, 3, sign=True) == text
    assert video_tables.interval(value, 3) == text.removeprefix("+")


def test_the_papers_tables_have_its_columns_and_rows():
    generation, redrawing = video_tables.published_tables()
    assert len(generation.rows) == len(published.GENERATION)
    assert generation.columns == ("", "FGD", "Div.", "FVD")
    assert body(generation)["ground truth"] == ("8.976", "5.911", "1852.86")
    assert [head.partition(":")[0] for head in redrawing.columns[1:]] == list(regions.REGIONS)
    assert body(redrawing)["the paper"][-1] == "31.79 / 0.976 / 0.018"
    assert "no yardstick" in redrawing.notes[0]


@pytest.fixture
def report():
    def make(**changes):
        systems = {REFERENCE: [made_up.clip("a")], "o|u<r>s": [made_up.clip("a")]}
        systems["o|u<r>s"][0].regions = made_up.pictures(20.0)
        problems = changes.pop("problems", ())
        protocol = {
            "folders": {"reference": "true"}, "size": 48, "frames": 10, "fps": 25.0,
            "fvd_windows": 1, "versions": {"jax": "1"}, "commit": None, **changes,
        }  # fmt: skip
        return video_report.make(made_up.measured(systems, problems), {}, protocol, [])

    return make


def test_problems_are_counted_and_cut(report):
    few = report(problems=["a: late", "b: early", "a: late"])
    assert video_report.problems(few) == ["a: late (2 times)", "b: early"]
    many = report(problems=[f"clip{k}: late" for k in range(50)])
    lines = video_report.problems(many)
    assert len(lines) == 41 and lines[-1] == "and 10 more: all are in report.json"
    assert video_report.problems(many, most=50)[-1] == "clip49: late"
    assert '"clip49: late": 1' in video_report.to_json(many)


def test_labels_do_not_break_the_table(report):
    text = video_report.markdown(report())
    rows = [line for line in text.splitlines() if line.startswith("| o")]
    assert rows and all(r"o\|u&lt;r&gt;s" in row for row in rows)
    assert "Not computed" not in text and "What was left out" not in text


def test_the_protocol_says_what_it_knows(report):
    lines = video_report.caption(report(dataset="d", sampling={"steps": 50, "seed": 0}, commit="c"))
    assert "dataset: d." in lines and "sampling: steps 50, seed 0." in lines
    assert "Measured at commit c with jax 1." in lines and "Time: reading 1.2 s." in lines
    assert "Clips: reference 1, o|u<r>s 1. Pairs with the reference: o|u<r>s 1." in lines
    # Without features of windows nothing is said of windows.
    assert not any("windows" in line for line in lines)
    assert any(
        line.endswith("commit unknown with jax 1.") for line in video_report.caption(report())
    )
