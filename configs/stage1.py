"""Stage 1, the base model: `jaxgesture train --config=configs/stage1.py:PRESET[,WORD ...]`.

Presets
  paper  the published sizes and losses, 256 pixels, 210.65 M parameters. Weights of the losses and
         optimisation are not published; the values are those of the nearest published system
         (S2G-MDDiffusion).
  small  128 pixels, the same losses: for one GPU or a Colab.
  debug  64 pixels, 9.4 M parameters: on two CPU cores, a quarter to half a second a step. It
         follows its driving frames some hundred steps after the 500 that train extractor and motion
         decoder alone. Pixel losses, which need no outside weights.

The losses of `paper` and `small` need the weights of VGG-19 and VGG-16 (torchvision's files):
  --config.loss.perceptual_weights=vgg19-dcbb9e9d.pth --config.loss.local_weights=vgg16-397923af.pth
or "random" for random features; --config.loss.perceptual=0 (.local, .adversarial) leaves one out.

Words
  no_deviation, no_enhancer, no_motion_decoder: the ablations of the paper's Table 3. Without the
  enhancer model.volume_smoothness does nothing, without the motion decoder model.motion_gain.
"""

from jaxgesture.animation.train import SECTIONS
from jaxgesture.core import config as configuration

S2G = {
    # Not published; from S2G-MDDiffusion.
    "data.batch_size": 20,
    "data.augment.flip": 0.5,
    "data.augment.crop": 0.0,  # its time reversal means nothing for pairs of frames
    "optim.name": "adam",
    "optim.learning_rate": 2e-4,
    "optim.b1": 0.5,
    "optim.clip_norm": 10.0,
    "optim.schedule": "step",
    "loss.pixel": 0.0,
    "loss.perceptual": 10.0,
    "loss.adversarial": 0.1,
    # Its epochs 40, 70 and 90 of 200, for 2,000 clips: 50 repeats of a clip, 5,000 steps an epoch.
    "optim.boundaries": (200_000, 350_000, 450_000),
    "train.steps": 1_000_000,
    # Not published, and not from there: ours.
    "optim.ema_decay": 0.999,
    "loss.local": 10.0,
    "loss.adversarial_start": 50_000,
    "train.log_every": 100,
    "train.eval_every": 5_000,
    "checkpoint.every_steps": 2_000,
}
PRESETS = {
    "paper": {**S2G, "model.dtype": "bfloat16"},
    "small": {
        **S2G,
        "model.size": 128,
        "model.encoder_widths": (32, 64, 128, 256),
        "model.enhancer_blocks": 2,
        "model.enhancer_widths": (384, 512),
        "model.extractor_stem": 32,
        "model.extractor_widths": (128, 256, 512),
        "model.extractor_blocks": (2, 2, 3),
        "model.motion_widths": (32, 64, 128, 256, 192, 128, 64, 32),
        "model.motion_blocks": 2,
        "model.decoder_blocks": 4,
        "model.decoder_widths": (256, 128, 64),
        "model.dtype": "bfloat16",
        "loss.adversarial_start": 10_000,
        "optim.boundaries": (80_000,),
        "train.steps": 100_000,
    },
    "debug": {
        "data.batch_size": 8,
        # One source a clip: what to redraw is settled early.
        "data.source": "first",
        # On 16 s of video, crops and colours cost 1.5 dB of held-out PSNR within 700 steps.
        "data.augment.flip": 0.0,
        "data.augment.crop": 0.0,
        "data.augment.brightness": 0.0,
        "data.augment.contrast": 0.0,
        "data.augment.saturation": 0.0,
        "model.size": 64,
        # Multiples of 16 at full resolution: a CPU is up to ten times slower at 24 channels.
        "model.encoder_widths": (16, 32, 64, 64),
        "model.enhancer_blocks": 2,
        "model.enhancer_widths": (128, 256),
        "model.extractor_stem": 32,
        "model.extractor_widths": (64, 128, 256),
        "model.extractor_blocks": (1, 1, 2),
        "model.motion_widths": (32, 64, 128, 256, 128, 64, 64, 32),
        "model.motion_blocks": 1,
        "model.decoder_blocks": 3,
        "model.decoder_widths": (64, 32, 16),
        # What makes a model follow the driving frame after some hundred steps, with any number of
        # speakers, rather than after thousands: see `animation.read_out` and `AnimationConfig`.
        "model.head_slope": 4.0,
        "model.volume_smoothness": 0.06,
        "model.motion_gain": 0.3,
        "loss.read_out": 100.0,
        "loss.read_out_steps": 500,
        "loss.scales": (1, 2, 4),
        "loss.squared": 2.0,
        "loss.motion": 1.0,
        "optim.learning_rate": 1e-3,  # at 2e-3 following sets in much later
        "optim.b2": 0.99,
        "optim.clip_norm": 10.0,
        "optim.schedule": "cosine",
        "optim.warmup_steps": 50,
        "optim.final_fraction": 0.02,
        "optim.ema_decay": 0.99,
        "optim.ema_warmup": True,
        "train.steps": 2_200,
        "train.eval_every": 250,
        "checkpoint.every_steps": 250,
    },
}
WORDS = {
    "no_deviation": {"model.deviation": False},
    "no_enhancer": {"model.enhancer": False},
    "no_motion_decoder": {"model.motion_decoder": False},
}

get_config = configuration.presets(SECTIONS, PRESETS, WORDS)
