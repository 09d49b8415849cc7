"""The smallest training of the base model: made-up clips, few layers, batches of two."""

import numpy as np
from animation.weights import SIZES, pictures

from jaxgesture.data.datasets import ClipData, write_frames
from jaxgesture.demo.settings import load_config

# What compiles is the same wherever this is trained, so it is compiled once for all tests.
MODEL = {
    **SIZES, "enhancer": False, "motion_decoder": False, "deviation": False,
    "extractor_blocks": (0, 0, 0), "decoder_blocks": 0,
}  # fmt: skip
CHANGES = {
    **{f"model.{name}": value for name, value in MODEL.items()},
    "data.batch_size": 2,
    "loss.read_out_steps": 2,
    "optim.name": "sgd",
    # The same for any number of steps.
    "optim.schedule": "constant",
    "optim.warmup_steps": 0,
    "optim.ema_decay": 0.9,
    "train.log_every": 1,
    "checkpoint.every_steps": 1,
    "eval.frames": 4,
    "eval.strips": 1,
}
# With these, every loss of the published objective; no read-out.
ALL_LOSSES = {
    "loss.read_out": 0.0,
    "loss.read_out_steps": 0,
    "loss.scales": (1, 2),
    "loss.perceptual": 0.1,
    "loss.perceptual_weights": "random",
    "loss.local": 0.1,
    "loss.local_weights": "random",
    "loss.local_size": 16,
    "loss.adversarial": 0.1,
    "loss.adversarial_start": 1,
    "discriminator.widths": (8, 8),
    "discriminator.strides": (2, 2),
    "discriminator.kernel": 3,
}


def make_config(directory, **changes):
    config = load_config("stage1", "debug")
    config.update_from_flattened_dict({**CHANGES, "data.directory": str(directory), **changes})
    return config


BOXES = ((0.1, 0.5, 0.4, 0.9), (0.6, 0.5, 0.9, 0.9), (0.3, 0.1, 0.6, 0.4), (0.4, 0.3, 0.5, 0.35))


def write_clips(directory, frames=8, boxes=False):
    """Clips in which a picture slides; a file cut in two, and one for validation alone."""
    there = np.asarray([BOXES] * frames, np.float32) if boxes else None

    def clip(name, split, seed, source, mute=False, start=0):
        still = (pictures(1, seed)[0] * 255).astype(np.uint8)
        moving = np.stack([np.roll(still, 4 * i, axis=1) for i in range(start, start + frames)])
        audio = None if mute else np.random.default_rng(seed).normal(size=(frames, 35))
        return ClipData(name, split, moving, audio, speaker=name, source=source, boxes=there)

    clips = [
        clip("a", "train", 0, "a.mp4"),
        clip("a.last", "validation", 0, "a.mp4", start=frames),
        clip("b", "train", 1, "b.mp4", mute=True),
        clip("c", "validation", 2, "c.mp4"),
    ]
    return write_frames(directory, clips, size=SIZES["size"], image_format="png")
