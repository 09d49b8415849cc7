"""Sets of videos that several files of tests look at."""

import pytest
from evaluation import videos

from jaxgesture.evaluation import video_sets


@pytest.fixture(scope="module")
def true(tmp_path_factory):
    return video_sets.find(videos.true_set(tmp_path_factory.mktemp("true")))


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    return video_sets.find(videos.noisy_set(tmp_path_factory.mktemp("noisy")))
