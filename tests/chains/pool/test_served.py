"""What was served in a stretch of time, against counting it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from chains.pool.served import Served


@given(st.lists(st.floats(0.0, 1.0), max_size=200), st.floats(0.5, 60.0))
@settings(derandomize=True)
def test_it_counts_what_was_sent_in_a_stretch_to_the_fifth_of_a_second(gaps: list[float], seconds: float) -> None:
    served, now = Served(60.0), 1_000.0
    sent: list[float] = []
    for gap in gaps:
        now += gap
        served.count(now)
        sent.append(now)
    least = sum(now - seconds + 0.2 < at <= now - 0.2 for at in sent)
    most = sum(now - seconds - 0.2 < at for at in sent)
    assert least <= served.within(now - seconds, now) <= most


def test_an_answer_out_of_order_is_counted_and_old_ones_are_forgotten() -> None:
    served = Served(10.0)
    served.count(5.0)
    served.count(4.9)
    assert served.within(0.0, 5.0) == 2
    served.count(1_000.0)
    assert served.within(0.0, 1_000.0) == 1
