import dataclasses
import json
from typing import Literal

import ml_collections
import pytest

from jaxgesture.core import config
from jaxgesture.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class InnerConfig:
    depth: int = 2
    kind: Literal["a", "b"] = "a"


@dataclasses.dataclass(frozen=True)
class OuterConfig:
    width: int = 8
    rate: float = 1e-3
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, str] = (1, "x")
    flag: bool = False
    limit: float | None = None
    inner: InnerConfig = InnerConfig()


def test_section_and_build_are_inverse_through_ml_collections():
    given = OuterConfig(sizes=(3, 4, 5), inner=InnerConfig(depth=7), limit=2.0)
    made = config.build(OuterConfig, ml_collections.ConfigDict(config.section(given)))
    assert made == given
    assert hash(made) == hash(given)


def test_missing_keys_take_the_dataclass_defaults():
    assert config.build(OuterConfig, {"inner": {"kind": "b"}}) == OuterConfig(
        inner=InnerConfig(kind="b")
    )


def test_lists_and_whole_floats_are_coerced():
    made = config.build(OuterConfig, {"sizes": [1, 2], "width": 2e1, "rate": 1, "limit": 3})
    assert made.sizes == (1, 2)
    assert made.width == 20 and isinstance(made.width, int)
    assert isinstance(made.rate, float) and isinstance(made.limit, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"widht": 3}, r"no key outer\.widht .*did you mean 'width'\?"),
        ({"inner": {"dpeth": 3}}, r"no key outer\.inner\.dpeth .*did you mean 'depth'\?"),
        ({"zzz": 1}, r"known are: flag, inner, limit, pair, rate, sizes, width"),
        ({"width": "wide"}, r"outer\.width='wide' must be of type int"),
        ({"width": 2.5}, r"outer\.width=2\.5 must be of type int"),
        ({"width": True}, r"outer\.width=True must be of type int"),
        ({"flag": 1}, r"outer\.flag=1 must be of type bool"),
        ({"sizes": 3}, r"outer\.sizes=3 must be a list"),
        ({"sizes": (1, "a")}, r"outer\.sizes\[1\]='a'"),
        ({"pair": (1,)}, r"outer\.pair=\(1,\) must have 2 entries"),
        ({"inner": 3}, r"outer\.inner=3 must be a section"),
        ({"inner": {"kind": "c"}}, r"outer\.inner\.kind='c' is not one of 'a', 'b'"),
    ],
)
def test_mistakes_name_the_key(values, message):
    with pytest.raises(UserError, match=message):
        config.build(OuterConfig, values)


def test_a_key_without_default_is_asked_for():
    @dataclasses.dataclass(frozen=True)
    class NeedyConfig:
        path: str

    with pytest.raises(UserError, match=r"lacks needy\.path"):
        config.build(NeedyConfig, {})


def test_check_sections():
    sections = ml_collections.ConfigDict({"model": {}, "optim": {}})
    config.check_sections(sections, ("model", "optim"))
    with pytest.raises(UserError, match="'optim' in the configuration; did you mean 'optics'"):
        config.check_sections(sections, ("model", "optics"))
    with pytest.raises(UserError, match="lacks the section 'train'"):
        config.check_sections(sections, ("model", "optim", "train"))


def test_json_of_dataclass_and_config_dict_agree():
    values = config.section(OuterConfig())
    text = config.to_json(OuterConfig())
    assert text == config.to_json(ml_collections.ConfigDict(values))
    assert json.loads(text)["inner"]["depth"] == 2


def test_differences_ignore_what_is_free_and_tuples_that_became_lists():
    old = {"train": {"steps": 1, "seed": 0}, "model": {"width": 8, "sizes": [1, 2]}}
    new = {"train": {"steps": 2, "seed": 0}, "model": {"width": 9, "sizes": (1, 2), "deep": True}}
    assert config.differences(old, new, ["train.steps"]) == {
        "model.deep": ("(absent)", True),
        "model.width": (8, 9),
    }
    assert config.differences(old, new, ["train", "model"]) == {}
    # "train.step" is not a section above "train.steps".
    assert "train.steps" in config.differences(old, new, ["train.step"])


def test_a_key_that_is_younger_than_a_workdir_is_no_difference_at_its_default():
    old, new = {"model": {"width": 8}}, {"model": {"width": 8, "deep": False}}
    defaults = {"model": {"width": 4, "deep": False}}
    assert config.differences(old, new, defaults=defaults) == {}
    other = {"model": {"width": 8, "deep": True}}
    assert config.differences(old, other, defaults=defaults) == {"model.deep": (False, True)}


def test_words_after_the_colon():
    presets, words = ("paper", "debug"), ("no_deviation",)
    assert config.apply_words("", presets, words) == ("paper", [])
    assert config.apply_words("debug,no_deviation", presets, words) == ("debug", ["no_deviation"])
    with pytest.raises(UserError, match="did you mean 'debug'"):
        config.apply_words("debgu", presets, words)
    with pytest.raises(UserError, match="did you mean 'no_deviation'"):
        config.apply_words("debug,no_deviations", presets, words)
