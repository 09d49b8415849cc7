import numpy as np
import pytest

from jaxgesture.core import mapping
from jaxgesture.core.errors import UserError
from jaxgesture.core.mapping import Rule

RULES = (
    Rule(r"block_(\d)/norm", r"blocks.\1.1"),
    Rule(r"block_(\d)", r"blocks.\1.0"),
    Rule(r"block", "single"),
    Rule(r"out", "head.out"),
)


def template():
    return {
        "params": {
            "block_0": {"conv": {"kernel": np.zeros((3, 5, 2, 4), np.float32)}},
            "block_1": {
                "norm": {"scale": np.zeros(4, np.float32), "bias": np.zeros(4, np.float32)}
            },
            "block": {"kernel": np.zeros((2, 3, 5, 6, 7), np.float32)},
            "out": {"kernel": np.zeros((4, 6), np.float32)},
        },
        "batch_stats": {"block_1": {"norm": {"mean": np.zeros(4), "var": np.zeros(4)}}},
    }


def table(ignored=None):
    return mapping.Table(
        "toy", "give another", mapping.make_entries(template(), RULES), ignored or {}
    )


def state_dict(seed=0):
    rng = np.random.default_rng(seed)
    return {e.name: rng.standard_normal(e.shape).astype(e.dtype) for e in table().entries}


def test_names_shapes_and_types():
    assert {e.name: (e.shape, str(e.dtype)) for e in table().entries} == {
        "blocks.0.0.conv.weight": ((4, 2, 3, 5), "float32"),
        "blocks.1.1.weight": ((4,), "float32"),
        "blocks.1.1.bias": ((4,), "float32"),
        "blocks.1.1.running_mean": ((4,), "float64"),
        "blocks.1.1.running_var": ((4,), "float64"),
        "single.weight": ((7, 6, 2, 3, 5), "float32"),
        "head.out.weight": ((6, 4), "float32"),
    }


def test_every_element_goes_where_it_belongs():
    state = state_dict()
    variables = mapping.to_variables(state, table(), "here")
    params = variables["params"]
    conv, volume = params["block_0"]["conv"]["kernel"], params["block"]["kernel"]
    assert conv[2, 4, 1, 3] == state["blocks.0.0.conv.weight"][3, 1, 2, 4]
    assert volume[1, 2, 4, 5, 6] == state["single.weight"][6, 5, 1, 2, 4]
    np.testing.assert_array_equal(params["out"]["kernel"], state["head.out.weight"].T)
    np.testing.assert_array_equal(params["block_1"]["norm"]["scale"], state["blocks.1.1.weight"])
    np.testing.assert_array_equal(
        variables["batch_stats"]["block_1"]["norm"]["var"], state["blocks.1.1.running_var"]
    )
    back = mapping.to_state_dict(variables, table())
    assert back.keys() == state.keys()
    for name, array in state.items():
        assert back[name].flags.c_contiguous and back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_the_variables_are_copies_both_ways():
    state = state_dict()
    kept = {name: array.copy() for name, array in state.items()}
    variables = mapping.to_variables(state, table(), "here")
    back = mapping.to_state_dict(variables, table())
    for array in (*state.values(), *back.values()):
        array[...] = -1
    again = mapping.to_state_dict(variables, table())
    for name, array in kept.items():
        np.testing.assert_array_equal(again[name], array)


def test_all_that_is_wrong_is_in_one_line():
    state = state_dict()
    del state["head.out.weight"]
    state["single.weight"] = state["single.weight"][:, :5]
    state["blocks.1.1.weight"] = state["blocks.1.1.weight"].astype(np.float16)
    state["blocks.1.1.bias"][2] = np.inf
    state["blocks.2.0.conv.weight"] = np.zeros(1)
    with pytest.raises(UserError) as caught:
        mapping.to_variables(state, table(), "model.pt")
    assert str(caught.value) == (
        "model.pt does not hold the weights of toy (missing: 1: head.out.weight; not known: 1: "
        "blocks.2.0.conv.weight; of another shape: 1: single.weight is (7, 5, 2, 3, 5), not "
        "(7, 6, 2, 3, 5); of another type: 1: blocks.1.1.weight is float16, not float32; not "
        "finite: 1: blocks.1.1.bias); give another"
    )


def test_long_lists_are_counted():
    state = {f"other.{i}": np.zeros(1) for i in range(20)} | state_dict()
    with pytest.raises(UserError, match=r"not known: 20: other\.0, .*other\.7 and 12 more\)"):
        mapping.to_variables(state, table(), "model.pt")


def test_what_is_ignored_is_named():
    state = {**state_dict(), "classifier.0.weight": np.zeros(1)}
    with pytest.raises(UserError, match="not known: 1: classifier.0.weight"):
        mapping.to_variables(state, table(), "here")
    lenient = table({r"^classifier\.": "not used"})
    assert set(mapping.to_variables(state, lenient, "here")) == {"params", "batch_stats"}
    with pytest.raises(UserError, match="not known: 1: my.classifier.0"):
        mapping.to_variables({**state, "my.classifier.0": np.zeros(1)}, lenient, "here")


def test_mistakes_in_a_table():
    with pytest.raises(ValueError, match="no rule for params/other/kernel"):
        mapping.make_entries({"params": {"other": {"kernel": np.zeros((1, 1))}}}, RULES)
    # A rule fits whole parts of a path alone.
    with pytest.raises(ValueError, match="no rule for params/outer/bias"):
        mapping.make_entries({"params": {"outer": {"bias": np.zeros(1)}}}, RULES)
    twice = {"params": {"a": {"bias": np.zeros(1)}, "b": {"bias": np.zeros(1)}}}
    entries = mapping.make_entries(twice, (Rule("a|b", "same"),))
    with pytest.raises(ValueError, match="used twice: same.bias"):
        mapping.Table("toy", "give another", entries)


def test_variables_of_another_network():
    variables = mapping.to_variables(state_dict(), table(), "here")
    variables["params"]["out"]["kernel"] = np.zeros((4, 5), np.float32)
    with pytest.raises(ValueError, match=r"params/out/kernel is \(5, 4\).*not \(6, 4\)"):
        mapping.to_state_dict(variables, table())
    variables["params"]["extra"] = variables["params"].pop("out")
    with pytest.raises(
        ValueError, match="not the variables of toy: 2: params/extra/kernel, params/"
    ):
        mapping.to_state_dict(variables, table())
