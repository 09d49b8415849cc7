"""The synthetic presenter: a drawn speaker with a voice, whose every movement is known."""

from jaxgesture.data.presenter.mouth import find_lips, mouth_opening
from jaxgesture.data.presenter.performance import Presentation, corpus, perform

__all__ = ["Presentation", "corpus", "find_lips", "mouth_opening", "perform"]
