"""State dicts and weight files with one thing wrong, and what the message says of each."""

import os
import pickle

import numpy as np

KERNEL, BIAS = "generator.first.conv.weight", "generator.decoder.conv_img.bias"
COUNTER = "pose_base.norm1.num_batches_tracked"


def _without(name):
    return lambda state: {k: v for k, v in state.items() if k != name}


def _changed(name, change):
    return lambda state: {**state, name: change(state[name])}


def _with_nan(array):
    array = array.copy()
    array.flat[-1] = np.nan
    return array


# Name -> what is done to a whole state dict of arrays, and what is said about it.
FAULTS = {
    "missing": (_without(BIAS), f"(missing: 1: {BIAS});"),
    "missing counter": (_without(COUNTER), f"(missing: 1: {COUNTER});"),
    "extra": (
        lambda state: {**state, "generator.third.weight": np.ones(3, np.float32)},
        "(not known: 1: generator.third.weight);",
    ),
    "extra counter": (
        lambda state: {**state, "generator.norm.num_batches_tracked": np.asarray(1)},
        "(not known: 1: generator.norm.num_batches_tracked);",
    ),
    "shape": (
        # As many numbers as there should be, in another order.
        _changed(KERNEL, lambda kernel: kernel.transpose(2, 3, 1, 0)),
        f"(of another shape: 1: {KERNEL} is (7, 7, 3, ",
    ),
    "dtype": (
        _changed(BIAS, lambda bias: bias.astype(np.float64)),
        f"(of another type: 1: {BIAS} is float64, not float32);",
    ),
    "counter dtype": (
        _changed(COUNTER, np.float32),
        f"(of another type: 1: {COUNTER} is float32, not int64);",
    ),
    "nan": (_changed(BIAS, _with_nan), f"(not finite: 1: {BIAS});"),
}


class Harmful:
    """Makes a file where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (os.system, (f"touch {self.mark}",))


def write_harmful(path, mark):
    """A weight file of each form that would run code if it were opened as a pickle."""
    state = {KERNEL: Harmful(mark)}
    if path.suffix == ".npz":
        np.savez(path, **{name: np.array(v, dtype=object) for name, v in state.items()})
    elif path.suffix == ".pt":  # a zip archive with a pickle in it
        import torch

        torch.save(state, path)
    else:
        path.write_bytes(pickle.dumps(state))
    return path
