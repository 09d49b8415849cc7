import json
import math

from jaxgesture.core import strict_json


def test_what_json_has_no_number_for_is_a_word():
    value = {"a": [1.5, math.inf, (-math.inf, math.nan)], "b": {"c": None, "d": "x", "e": 3}}
    text = strict_json.dumps(value)
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "a": [1.5, "inf", ["-inf", "nan"]], "b": {"c": None, "d": "x", "e": 3}
    }  # fmt: skip
