import pytest
from e2e import kills
from multidevice import stage2

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_kills_at_any_moment_lose_only_the_steps_since_the_last_save(tmp_path):
    stage2.write_dataset(tmp_path)
    done, steps = kills.killed(tmp_path, 3)
    for one in done:
        assert one.resumed == one.newest
        # A save that is under way may not be done for before the next one is due.
        assert 0 <= one.step - one.resumed <= 2 * kills.EVERY
    assert 0 < done[0].step <= done[1].step <= done[2].step < steps
    kills.unbroken(tmp_path, steps)
    assert kills.differences(tmp_path) == {"steps": steps, "loss": 0.0, "state": 0.0}
