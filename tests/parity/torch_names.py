"""From a PyTorch state dict of numpy arrays to Flax variables by one naming rule.

Dotted components become nested modules; a numeric component is appended to the one before it
(`stack.0.norm1` -> stack_0 / norm1). Leaves: `weight` is `kernel` (linear transposed, OIHW -> HWIO,
OIDHW -> DHWIO) or, with one axis, `scale`; `x_weight` is `x_kernel`; `bias` stays; `running_mean`
and `running_var` go to batch_stats as `mean` and `var`; anything else keeps its name and layout.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

# Neither is learned: a counter, and the constants of the rotary embedding.
CONSTANTS = (r"(^|\.)num_batches_tracked$", r"(^|\.)rotary\.freqs$")
STATISTICS = {"running_mean": "mean", "running_var": "var"}


def flax_path(name: str, ndim: int, rename: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """(collection, module, ..., leaf) of a PyTorch name; `rename` maps dotted prefixes first."""
    for old, new in sorted((rename or {}).items(), key=lambda item: -len(item[0])):
        if name == old or name.startswith(old + "."):
            name = (new + name[len(old) :]).lstrip(".")
            break
    *modules, leaf = name.split(".")
    path: list[str] = []
    for part in modules:
        if part.isdigit() and path:
            path[-1] += f"_{part}"
        else:
            path.append(part)
    if leaf in STATISTICS:
        return ("batch_stats", *path, STATISTICS[leaf])
    if leaf == "weight":
        leaf = "scale" if ndim == 1 else "kernel"
    elif leaf.endswith("_weight"):
        leaf = leaf.removesuffix("weight") + "kernel"
    return ("params", *path, leaf)


def flax_layout(array: np.ndarray, leaf: str) -> np.ndarray:
    """Output and input axes last, in this order: input, output."""
    if leaf != "kernel" and not leaf.endswith("_kernel"):
        return array
    return np.transpose(array, (*range(2, array.ndim), 1, 0))


def to_flax(
    state_dict: Mapping[str, np.ndarray],
    template: Mapping,
    *,
    rename: Mapping[str, str] | None = None,
    ignore: Sequence[str] = CONSTANTS,
) -> dict:
    """Fills `template` (nested dicts of arrays or ShapeDtypeStructs) with a state dict.

    Every key not matched by a pattern of `ignore` is used once and every leaf is filled once, with
    its own shape; anything else is an AssertionError that lists the names.
    """
    wanted = dict(_flatten(template))
    filled: dict[tuple[str, ...], np.ndarray] = {}
    unknown = []
    for name, value in state_dict.items():
        if any(re.search(pattern, name) for pattern in ignore):
            continue
        path = flax_path(name, np.ndim(value), rename)
        assert path not in filled, f"{name}: {'/'.join(path)} is filled twice"
        if path not in wanted:
            unknown.append(f"{name} -> {'/'.join(path)}")
            continue
        array = flax_layout(np.asarray(value), path[-1])
        assert array.shape == tuple(wanted[path].shape), (
            f"{name}: shape {array.shape}, not {wanted[path].shape}"
        )
        filled[path] = array
    missing = ["/".join(path) for path in wanted if path not in filled]
    assert not unknown and not missing, f"no place for {unknown}; not filled {missing}"
    return _unflatten(filled)


def _flatten(tree, prefix=()):
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def _unflatten(flat):
    tree: dict = {}
    for path, value in flat.items():
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
    return tree
