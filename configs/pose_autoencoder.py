"""The autoencoder behind FGD: `jaxgesture train --config=configs/pose_autoencoder.py:PRESET`.

Data is a folder of true motion other than the clips that will be judged: landmarks files
(NAME.landmarks.npz, `jaxgesture landmarks` makes them), or a dataset made by `jaxgesture extract`,
with --config.model.channels as many as its motion features have.

Presets
  paper  batches and learning rate of Yoon et al. 2020 (arXiv 2009.02119).
  debug  a minute on two CPU cores.
"""

from jaxgesture.core import config as configuration
from jaxgesture.embedding.train import SECTIONS

PRESETS = {
    "paper": {
        "train.steps": 50_000,  # not published: its code trains 500 epochs of its own corpus
        "train.log_every": 100,
        "train.eval_every": 2_000,
        "checkpoint.every_steps": 2_000,
    },
    "debug": {
        "data.batch_size": 64,
        "optim.learning_rate": 1e-3,
        "optim.schedule": "cosine",
        "optim.final_fraction": 0.02,
        "train.steps": 1_500,
        "train.eval_every": 500,
        "checkpoint.every_steps": 500,
    },
}

get_config = configuration.presets(SECTIONS, PRESETS, {})
