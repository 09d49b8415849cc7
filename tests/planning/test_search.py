"""The largest batch, found with few attempts."""

import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.planning.search import Attempt, best, is_settled, largest

LIMIT = 1000


def searched(memory, limit=LIMIT, **options):
    def attempt(rows):
        needed = memory(rows)
        return Attempt(rows, needed, needed <= limit, limit)

    return largest(attempt, LIMIT, **options)


@pytest.mark.parametrize(
    ("fixed", "slope", "most"), [(100, 90, 10), (400, 1, 600), (0, 333, 3), (700, 200, 1)]
)
def test_a_line_is_found_with_four_attempts(fixed, slope, most):
    made = searched(lambda rows: fixed + slope * rows)
    assert best(made).rows == most and is_settled(made)
    assert len(made) <= 4


def test_a_compiler_that_saves_memory_near_the_limit():
    """Beyond 5 rows it needs half as much for each row more."""
    made = searched(lambda rows: 100 + 100 * min(rows, 5) + 50 * max(rows - 5, 0), attempts=9)
    assert best(made).rows == 13 and is_settled(made)


def test_a_limit_below_the_data_sheet():
    made = searched(lambda rows: 10 * rows, limit=900)
    assert best(made).rows == 90 and is_settled(made)


def test_attempts_end():
    made = searched(lambda rows: rows, attempts=3)
    assert len(made) == 3 and best(made).fits


def test_in_steps():
    made = searched(lambda rows: 100 + 30 * rows, step=4)
    assert best(made).rows == 28 and is_settled(made, 4)
    assert all(one.rows % 4 == 0 for one in made)


def test_nothing_fits():
    with pytest.raises(UserError, match="not even 1 row"):
        searched(lambda rows: 2000)
