"""A plan as people read it."""

import types

import pytest
from planning.texts import PROGRAM
from planning.toys import toy

from jaxgesture.planning import chips, hlo, plans, report
from jaxgesture.planning.program import Program
from jaxgesture.planning.search import Attempt

SLICE = chips.parse("v5e:4x4")
GIB = 2**30


def compiled(text=PROGRAM, attempts=(), memory=(GIB, 2 * GIB), **changes):
    """The plan of a program that was compiled elsewhere."""
    subject = toy()
    found = Program(1.0, *memory, 0, hlo.read(text), 75.4)
    grid = types.SimpleNamespace(shape={"data": 16, "fsdp": 1})
    made = attempts or [Attempt(2, found.memory, True, 16 * GIB)]
    plan = plans.compiled_plan(subject, SLICE, grid, 2, found, made)  # pyright: ignore
    return {**plan, **changes}


def lines(text):
    """Name of a line -> its texts."""
    found = {}
    for line in text.split("\n\n")[0].splitlines():
        found.setdefault(line[:12].strip(), []).append(line[12:])
    return found


def cells(table):
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if "---" not in row[0]]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0.0 KiB"), (1536, "1.5 KiB"), (2**18 - 1, "256.0 KiB"), (2**18, "0.2 MiB"),
        (5 * 2**20, "5.0 MiB"), (2**28, "0.25 GiB"), (15.75 * GIB, "15.75 GiB"),
        (2000 * GIB, "2000.00 GiB"),
    ],
)  # fmt: skip
def test_bytes_for_people(count, text):
    assert report.size(count) == text


def test_columns_of_numbers_lean_right_and_all_lines_are_as_long():
    table = report.table([("name", "share", "text"), ("a", "1.5%", "x1"), ("long", "", "y")])
    assert table == (
        "| name | share | text |\n"
        "|------|------:|------|\n"
        "| a    |  1.5% | x1   |\n"
        "| long |       | y    |\n"
    )


def test_memory_that_is_left_and_that_is_missing():
    (fits,) = lines(report.text(compiled()))["memory"]
    parts = "arguments 1.00 GiB, temporaries 2.00 GiB, outputs 0.0 KiB"
    assert fits == f"3.00 GiB of 16.00 GiB a chip: {parts}; 13.00 GiB left"
    (missing,) = lines(report.text(compiled(memory=(GIB, 20 * GIB))))["memory"]
    assert missing.endswith("; 5.00 GiB TOO MUCH")
    # The compiler may have less than the data sheet says.
    (limited,) = lines(report.text(compiled(attempts=[Attempt(2, 3 * GIB, True, 15 * GIB)])))[
        "memory"
    ]
    assert "of 15.00 GiB" in limited


def test_what_is_uncertain_is_said():
    found = lines(report.text(compiled()))
    assert found["loops"] == ["1 whose turns are not known: counted as one"]
    assert len(found["no estimate"]) == 3
    assert found["by"] == ["compiled by the TPU compiler, never run on a TPU"]
    turns = '%condition.5, body=%body.5, x={"known_trip_count":{"n":"2"}}\n'
    known = PROGRAM.replace("%condition.5, body=%body.5\n", turns)
    assert "loops" not in lines(report.text(compiled(known)))


def test_modules_beyond_the_table_are_one_row():
    part = {
        "name": "", "cycles": {"forward": 2_000_000, "backward": 1_000_000, "again": 500_000},
        "share": 0.05, "flops": 3e9, "traffic": 4e9, "bound": "memory",
    }  # fmt: skip
    parts = [{**part, "name": f"module{k}"} for k in range(report.MODULES + 3)]
    head, *rows = cells(report.modules_table({"modules": parts}))
    assert len(rows) == report.MODULES + 1 and len(head) == 8
    assert rows[0] == ["module0", "2.00", "1.00", "0.50", "5.0%", "3.0", "4.00", "memory"]
    assert rows[-1] == ["3 more", "6.00", "3.00", "1.50", "15.0%", "", "", ""]
    few = report.modules_table({"modules": parts[: report.MODULES]})
    assert "more" not in few


def test_what_drawing_says_of_frames_and_slices():
    drawing = compiled(unit="frames", frames_per_second=50.0, rows_per_second=50.0, scaling=[])
    del drawing["hours"], drawing["steps"]
    text = report.text(drawing)
    assert lines(text)["speed"] == ["50 frames/s"] and "other slices" not in text
    segments = {**drawing, "unit": "segments", "frames_per_second": 4000.0}
    assert lines(report.text(segments))["speed"] == ["50 segments/s, 4000 frames/s"]
    assert "other slices by the model" in report.text(compiled())


@pytest.mark.parametrize(("last", "settled"), [(4, True), (9, False)])
def test_a_search_that_did_not_end_says_so(last, settled):
    tried = [Attempt(last, 17 * GIB, False, 16 * GIB), Attempt(3, 15 * GIB, True, 16 * GIB)]
    (found,) = lines(report.text(compiled(attempts=tried)))["largest"]
    assert found.startswith(f"2 a chip; tried 3 fits (15.00 GiB), {last} does not (17.00 GiB)")
    assert found.endswith("not settled: more may fit, raise --attempts") != settled


def test_one_attempt_is_no_search():
    assert "largest" not in lines(report.text(compiled()))


def test_arithmetic_names_its_assumptions():
    node = chips.Node(chips.GPUS["a100"], 4)
    plan = plans.for_node(toy(), node, plans.Request(batch=8, efficiency=0.25), lambda text: None)
    found = lines(report.text(plan))
    assert "at 25% of the peak" in found["step"][0] and "compiled" not in found
    assert found["step"][0].endswith(f"bound by {plan['bound']}")
    assert found["place"] == ["gpu:4xa100, 4 chips; mesh data 4, fsdp 1"]
    assert found["batch"] == ["8 examples, 2 a chip"]


def test_columns_of_every_table_are_as_wide_as_their_longest_cell():
    for table in report.text(compiled()).split("\n\n")[1:]:
        widths = {len(line) for line in table.splitlines() if line.startswith("|")}
        assert len(widths) == 1, table
