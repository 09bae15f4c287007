"""How fast to catch up, and who may begin to."""

from __future__ import annotations

import pytest

from custody.pausing.machine import PauseState
from custody.pausing.pace import UNPACED, Stagger, allowance
from custody.pausing.settings import PauseSettings

SETTINGS = PauseSettings()


@pytest.mark.parametrize("state", PauseState)
def test_only_what_comes_after_a_pause_is_paced(state: PauseState) -> None:
    paced = allowance(SETTINGS, state, 0.0, 0.0, 100.0, 20.0)
    assert (paced == UNPACED) is (state not in (PauseState.PROBING, PauseState.CATCHING_UP))


def test_half_of_what_live_demand_leaves_and_a_tenth_more_each_ten_seconds() -> None:
    pace = [allowance(SETTINGS, PauseState.CATCHING_UP, 0.0, 10.0 * n, 100.0, 20.0) for n in range(12)]
    assert pace[:3] == pytest.approx([40.0, 44.0, 48.4])
    assert pace[-1] == 80.0, "never more than is left"
    assert pace == sorted(pace)
    assert allowance(SETTINGS, PauseState.PROBING, 0.0, 1e6, 100.0, 20.0) == 40.0
    assert allowance(SETTINGS, PauseState.CATCHING_UP, 0.0, 0.0, 1.0, 20.0) > 0.0, "never a standstill"


def test_chains_on_one_account_do_not_resume_together() -> None:
    stagger = Stagger()
    assert stagger.free("a", ["x"], 0.0, 10.0)
    stagger.resumed("a", ["x"], 0.0)
    assert stagger.free("a", ["x"], 1.0, 10.0), "its own other direction need not wait"
    assert not stagger.free("b", ["y", "x"], 9.0, 10.0)
    assert stagger.free("b", ["y"], 9.0, 10.0)
    assert stagger.free("b", ["y", "x"], 10.0, 10.0)
