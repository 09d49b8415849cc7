"""Procedural weights and stored pictures for the twin's feature networks."""

import json

import numpy as np
import torch
from perceptual.released import procedural


def weights(shared, name):
    """A state dict of procedural tensors, from a manifest's names and shapes."""
    make = procedural(shared).procedural_array
    shapes = json.loads((shared / f"parity/{name}_state_dict.json").read_text())
    return {k: torch.from_numpy(np.asarray(make(k, tuple(s), 0))) for k, s in shapes.items()}


def image(golden, name):
    """A stored picture as a batch of one in [0, 1], channels first."""
    pixels = golden[name].astype(np.float64).transpose(2, 0, 1)[None] / 255
    return torch.from_numpy(np.ascontiguousarray(pixels, np.float32))


def error(ours, theirs):
    """The largest absolute difference."""
    ours, theirs = np.asarray(ours.detach(), np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return np.abs(ours - theirs).max()


def relative(ours, theirs):
    """The largest difference relative to each value."""
    ours, theirs = np.asarray(ours.detach(), np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return np.abs(ours / theirs - 1).max()


def all_but_few(ours, theirs, share=0.99):
    """The difference that `share` of the entries do not pass."""
    ours, theirs = np.asarray(ours.detach(), np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return np.quantile(np.abs(ours - theirs), share, method="higher")


def of_norm(ours, theirs):
    """The norm of the difference relative to the norm of `theirs`."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
