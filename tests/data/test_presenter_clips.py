"""A dataset of the presenter: who is seen in which split, and that no two clips say the same."""

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import presenter_clips
from jaxgesture.data.presenter_clips import prepare_presenter

SHORT = {"size": 32, "seconds": 0.2, "progress": False, "image_format": "png"}


@pytest.fixture
def takes(monkeypatch, tmp_path):
    """Which clips would be made, none of them drawn."""

    def planned(**arguments):
        found = []

        def write(report, jobs, settings, known, total, progress, workers):
            found.extend(jobs)
            assert total == round(len(jobs) * known["seconds"] * 25)

        monkeypatch.setattr(presenter_clips, "write", write)
        prepare_presenter(tmp_path / "none", **{**SHORT, **arguments})
        return [(take.identity, take.seed, take.validation) for take in found]

    return planned


@pytest.mark.parametrize(
    ("arguments", "validation"),
    [
        ({"identities": 2, "clips": 3}, {0: [0, 0, 1], 1: [0, 0, 1]}),
        ({"identities": [5, 2], "clips": 2, "validation_clips": 0}, {5: [0, 0], 2: [0, 0]}),
        (
            {"identities": 1, "clips": 4, "validation_clips": 2, "validation_identities": [100]},
            {0: [0, 0, 1, 1], 100: [1, 1]},
        ),
        # A speaker held out gives one clip even where no other does.
        (
            {"identities": 1, "clips": 1, "validation_clips": 0, "validation_identities": [7]},
            {0: [0], 7: [1]},
        ),
    ],
)
def test_who_is_held_out(takes, arguments, validation):
    found: dict[int, list[int]] = {}
    for identity, _, held_out in takes(**arguments):
        found.setdefault(identity, []).append(int(held_out))
    assert found == validation


def test_no_two_clips_say_the_same(takes):
    seeds = [
        seed
        for corpus in (0, 1, 2)
        for _, seed, _ in takes(identities=9, clips=1000, seed=corpus, validation_identities=[999])
    ]
    assert len(set(seeds)) == len(seeds) == 3 * (9 * 1000 + 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seconds": 0.0}, "clips of 0.0 s cannot be made; choose a number above 0"),
        ({"seconds": np.nan}, "clips of nan s"),
        ({"seconds": np.inf}, "clips of inf s"),
        ({"identities": 0}, "0 identities with 6 clips, 1 of them for validation: at least one"),
        ({"identities": []}, "at least one identity and one training clip are needed"),
        ({"clips": 0}, "with 0 clips"),
        ({"clips": 2, "validation_clips": 2}, "with 2 clips, 2 of them for validation"),
        ({"validation_clips": -1}, "-1 of them for validation"),
        ({"clips": 1001}, "1001 clips of an identity would say the same; choose at most 1000"),
        ({"identities": [1, 1]}, "an identity is named twice"),
        ({"identities": 3, "validation_identities": [2]}, "training and validation ones must"),
        ({"image_format": "gif"}, "image format 'gif' is unknown"),
        ({"size": 16}, "a presenter of 16 pixels cannot be drawn; choose size from 32 to 1024"),
    ],
)
def test_what_makes_no_dataset(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        prepare_presenter(tmp_path / "set", **{**SHORT, **arguments})
    assert not list(tmp_path.iterdir())
