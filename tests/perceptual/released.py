"""The golden files' weights and images, and how errors are measured against them."""

import importlib.util

import numpy as np

from jaxgesture.perceptual import weights


def procedural(shared):
    """The module that makes weights from names and shapes."""
    file = shared / "parity/procedural.py"
    spec = importlib.util.spec_from_file_location("procedural", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def params(shared, name):
    """Procedural weights of a network of `weights.NETWORKS`, taken in as a file's would be."""
    make = procedural(shared).procedural_array
    entries = weights.NETWORKS[name].table.entries
    arrays = {entry.name: make(entry.name, entry.shape, 0) for entry in entries}
    return weights.from_state_dict(name, arrays, "procedural weights")


def image(golden, name, dtype=np.float32):
    """A stored picture as a batch of one in [0, 1]."""
    return (golden[name].astype(np.float64) / 255).astype(dtype)[None]


def channels_first(x):
    """The only example of a batch, channels first."""
    return np.moveaxis(np.asarray(x)[0], -1, 0)


def error(ours, theirs):
    """The largest absolute difference."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max()


def relative(ours, theirs):
    """The largest difference relative to each value."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    return np.abs(ours / theirs - 1).max()


def percentile_and_error(ours, theirs):
    """The difference that 99 % of the entries do not pass, and the largest."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    difference = np.abs(ours - theirs)
    # "higher" keeps it a difference that occurs, so that it is not below what 99 % reach.
    return np.percentile(difference, 99, method="higher"), difference.max()
