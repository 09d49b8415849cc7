"""A tiny motion model and its checkpoint, as the published training writes them."""

import collections
import functools
import sys
import types

import numpy as np
import pytest
from motion.weights import numpy_params

from jaxgesture.motion.config import MotionConfig
from jaxgesture.motion.model import Motion
from jaxgesture.motion.normalisation import identity_statistics

TINY = MotionConfig(
    feature_size=12, audio_size=35, segment_frames=6, width=16, feedforward=24, heads=2, layers=2,
    audio_layers=1, history_frames=2,
)  # fmt: skip
KERNEL = "seqTransDecoder.stack.1.self_attn.in_proj_weight"
BIAS = "history_projection.bias"


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert ours[name].dtype == array.dtype and ours[name].shape == array.shape, name
        np.testing.assert_array_equal(ours[name], array, err_msg=name)


@functools.cache
def tiny():
    return Motion(TINY, {"params": numpy_params(TINY), "stats": identity_statistics(TINY)})


def make_normaliser(monkeypatch):
    """An object of a class that a file names and that is gone when the file is read."""
    torch = pytest.importorskip("torch")
    module = types.ModuleType("made_up_scripts")

    class Normalizer:
        def __init__(self):
            self.scaler, self.tensor = np.ones(3), torch.ones(2)
            self.parts = [collections.OrderedDict(a=1), {3}, self]

        def __setstate__(self, state):
            raise AssertionError("an object of the file was built")

    Normalizer.__module__, Normalizer.__qualname__ = "made_up_scripts", "Normalizer"
    module.Normalizer = Normalizer  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "made_up_scripts", module)
    return Normalizer()


def write_checkpoint(path, average, normaliser, *, prefix="", **more):
    """What the published training writes: an average, the last weights, and whatever else."""
    torch = pytest.importorskip("torch")
    tensors = collections.OrderedDict((prefix + k, torch.from_numpy(v)) for k, v in average.items())
    tensors._metadata = {"": {"version": 1}}  # as those of a module have it
    last = {name: torch.nn.Parameter(tensor + 1) for name, tensor in tensors.items()}
    optimizer = torch.optim.Adam(last.values())
    last[f"{prefix}{KERNEL}"].grad = torch.ones(48, 16)
    optimizer.step()
    checkpoint = {
        "ema_state_dict": tensors, "model_state_dict": last,
        "optimizer_state_dict": optimizer.state_dict(), "normalizer": normaliser, **more,
    }  # fmt: skip
    torch.save({k: v for k, v in checkpoint.items() if v is not None}, path)
