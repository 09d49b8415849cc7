"""Stage 2, the motion model: `jaxgesture train --config=configs/stage2.py:PRESET[,WORD ...]`.

Presets
  paper  the published sizes on features of the published base model (2307 numbers) and WavLM plus
         hand-crafted audio features (1059 columns); optimisation is that of S2G-MDDiffusion.
  small  narrower, on hand-crafted audio features and features of the `small` base model.
  debug  on features of the `debug` base model: learns on two CPU cores.

Words
  euler: diffuse angles instead of rotation matrices, a third of the numbers.
  no_history: without the four frames before a segment.
"""

from jaxgesture.core import config as configuration
from jaxgesture.motion.train import SECTIONS

PRESETS = {
    "paper": {
        "train.steps": 500_000,  # not published
        "train.log_every": 100,
        "train.eval_every": 5_000,
        "checkpoint.every_steps": 5_000,
        "model.dtype": "bfloat16",
    },
    "small": {
        "model.feature_size": 8 * 8 * 9 + 3,
        "model.audio_size": 35,
        "model.width": 256,
        "model.feedforward": 512,
        "model.layers": 6,
        "model.standardise": True,
        "train.steps": 100_000,
        "train.eval_every": 2_000,
        "checkpoint.every_steps": 2_000,
    },
    "debug": {
        "data.batch_size": 16,
        "data.stride": 5,
        "model.feature_size": 4 * 4 * 9 + 3,
        "model.audio_size": 35,
        "model.width": 128,
        "model.feedforward": 256,
        "model.heads": 4,
        "model.layers": 4,
        "model.audio_layers": 2,
        # A small base model's features move little around their mean.
        "model.standardise": True,
        "optim.learning_rate": 1e-3,
        "optim.ema_decay": 0.995,
        "optim.ema_warmup": True,
        "train.steps": 1_500,
        "train.eval_every": 500,
        "checkpoint.every_steps": 250,
    },
}
WORDS = {
    "euler": {"model.representation": "euler"},
    "no_history": {"model.history_frames": 0},
}

get_config = configuration.presets(SECTIONS, PRESETS, WORDS)
