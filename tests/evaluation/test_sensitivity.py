"""What is said of metrics that see a damage, and of those that do not."""

import json
import math

import numpy as np
import pytest

from jaxgesture.evaluation import sensitivity
from jaxgesture.evaluation.sensitivity import Answer, Grade
from jaxgesture.generation import damaged

TRUE = {"psnr full": float("inf"), "ssim full": 1.0, "fvd": 0.0, "ha2g_bc": 0.5}


def blurred(psnr, ssim, fvd):
    values = {"psnr full": psnr, "ssim full": ssim, "fvd": fvd, "ha2g_bc": 0.5}
    return Grade("blur", f"{psnr}", values)


GRADES = [
    blurred(30.0, 0.9, 1.0),
    blurred(20.0, 0.95, 3.0),
    Grade("sound shifted", "1 s", {"ha2g_bc": 0.7}),
    Grade("sound shifted", "2 s", {"ha2g_bc": 0.2}),
]


def test_what_is_worse():
    assert sensitivity.badness("psnr full", 20, 30) > sensitivity.badness("psnr full", 25, 30)
    assert sensitivity.badness("fvd", 5, 0) > sensitivity.badness("fvd", 4, 0)
    assert sensitivity.badness("ha2g_bc", 0.8, 0.5) == pytest.approx(0.3)
    assert sensitivity.badness("ha2g_bc", 0.2, 0.5) == pytest.approx(0.3)


def test_every_damage_that_is_made_has_metrics_that_should_see_it():
    assert set(sensitivity.MEANT) == {grade.damage for grade in damaged.grades()}
    for metrics in sensitivity.MEANT.values():
        assert metrics and set(metrics) <= set(sensitivity.METRICS)


def test_answers_count_the_grades_that_are_worse():
    assert sensitivity.answers(TRUE, GRADES) == [
        Answer("blur", "psnr full", 2, 2),
        Answer("blur", "ssim full", 2, 1),
        Answer("blur", "fvd", 2, 2),
        Answer("sound shifted", "ha2g_bc", 2, 2),
    ]


def test_the_table_marks_what_does_not_see_its_damage():
    text = sensitivity.markdown(TRUE, GRADES, ["a caption"])
    lines = text.splitlines()
    assert lines[0] == "| damage | grade | PSNR | SSIM | FVD | HA2G BC |"
    assert "| none | | inf | 1.000 | 0.000 | 0.500 |" in lines
    assert "| blur | 20.0 | **20.000** | **0.950** ! | **3.000** | 0.500 |" in lines
    assert "| sound shifted | 1 s | - | - | - | **0.700** |" in lines
    assert "3 of 4 metrics worsen with every grade" in text
    assert "SSIM does not see blur as it should: worse at 1 of 2 grades." in text
    assert lines[-1] == "- a caption"


def test_metrics_without_a_value_are_left_out():
    grades = [blurred(30.0, 0.9, 1.0), Grade("blur", "more", {"psnr full": 20.0, "fvd": 2.0})]
    true = {"psnr full": math.inf, "ssim full": 1.0}
    assert sensitivity.answers(true, grades) == [Answer("blur", "psnr full", 2, 2)]
    lines = sensitivity.markdown(true, grades, []).splitlines()
    assert "| none | | inf | 1.000 | - | - |" in lines
    assert "| blur | 30.0 | **30.000** | **0.900** | 1.000 | 0.500 |" in lines
    assert "| blur | more | **20.000** | - | 2.000 | - |" in lines
    assert "1 of 1 metrics worsen" in lines[-1]


def test_what_has_no_number_is_not_seen():
    values = (math.nan, math.inf)
    grades = [Grade("sound shifted", f"{value}", {"ha2g_bc": value}) for value in values]
    assert sensitivity.answers(TRUE, grades) == [Answer("sound shifted", "ha2g_bc", 2, 0)]
    assert "| sound shifted | inf | **inf** ! |" in sensitivity.markdown(TRUE, grades, [])
    found = json.loads(sensitivity.to_json(TRUE, grades, {}))
    assert [grade["values"]["ha2g_bc"] for grade in found["grades"]] == ["nan", "inf"]


def test_each_damage_begins_at_the_undamaged_clips():
    grades = [
        Grade("sound shifted", "1 s", {"ha2g_bc": 0.9}),
        Grade("motion of another speech", "all", {"ha2g_bc": 0.6}),
    ]
    assert [answer.worse for answer in sensitivity.answers(TRUE, grades)] == [1, 1]
    assert "!" not in sensitivity.markdown(TRUE, grades, []).split("Bold")[0]


def test_json():
    found = json.loads(sensitivity.to_json(TRUE, GRADES, {"clips": 3}), parse_constant=pytest.fail)
    assert found["true"]["psnr full"] == "inf" and found["protocol"] == {"clips": 3}
    assert found["answers"][1] == {
        "damage": "blur", "metric": "ssim full", "grades": 2, "worse": 1,
    }  # fmt: skip


def test_json_takes_the_numbers_of_numpy():
    values = {"fvd": np.float64(2)}
    found = json.loads(
        sensitivity.to_json({"fvd": np.float64(0)}, [Grade("blur", "1", values)], {})
    )
    assert found["answers"] == [{"damage": "blur", "metric": "fvd", "grades": 1, "worse": 1}]
