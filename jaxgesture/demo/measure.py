"""What the demo's models learned, against controls."""

from typing import NamedTuple

import numpy as np

from jaxgesture.animation.model import Animation
from jaxgesture.data import presenter
from jaxgesture.evaluation.motion import own_and_other
from jaxgesture.generation.render import render
from jaxgesture.generation.speech_to_motion import speech_to_motion
from jaxgesture.motion.model import Motion


class Speech(NamedTuple):
    """A held-out performance of the presenter: its words, and who says them."""

    seed: int
    identity: int


def mouth_follows_speech(
    animation: Animation, motion: Motion, speeches: list[Speech], seconds: float
) -> dict[str, float]:
    """Correlation of the generated mouth's opening with the loudness of its own speech and others'.

    The opening is measured in the rendered frames. `true_*` is the same for the presenter's own
    frames at the model's size: what a perfect model would reach.
    """
    plays = [presenter.perform(s.seed, s.identity, seconds, animation.size, 25.0) for s in speeches]
    generated, drawn = [], []
    for play in plays:
        picture = play.frame(0).astype(np.float32) / 255.0
        poses = speech_to_motion(
            motion,
            play.audio,
            play.sample_rate,
            source_feature=np.asarray(animation.extract_motion(picture)),
        )
        frames = np.concatenate(list(render(animation, animation.encode_source(picture), poses)))
        lips = play.boxes["lips"]
        # Wherever this head takes its mouth: generated nods are not those of the true clip.
        region = np.concatenate([lips[:, :2].min(0), lips[:, 2:].max(0)])
        generated.append(presenter.mouth_opening(frames, region))
        drawn.append(presenter.mouth_opening(play.frames, region))
    loudness = [play.loudness for play in plays]
    own, other = own_and_other(generated, loudness)
    true_own, true_other = own_and_other(drawn, loudness)
    return {
        "mouth_own_speech": own,
        "mouth_other_speech": other,
        "mouth_margin": own - other,
        "true_mouth_own_speech": true_own,
        "true_mouth_other_speech": true_other,
    }
