"""Each reason to pause, from the looks that show it, and what looks like one and is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import pytest

from custody.pausing.causes import Causes
from custody.pausing.facts import Finding, Look, SourceFact, Trouble, agreed_finality, complaints, standing
from custody.pausing.settings import PauseSettings

SETTINGS = PauseSettings(finality_seconds=100.0, head_seconds=60.0, blockhash_positions=75)


def source(name: str, **fields: object) -> SourceFact:
    well: dict[str, object] = {"name": name, "usable": True, "latest": 1_010, "finalized": 1_000, "confirms": True}
    return SourceFact(**{**well, **fields})  # type: ignore[arg-type]  # a test's shorthand


def look(second: int, *sources: SourceFact, **fields: object) -> Look:
    """A chain that makes a block a second, is read at its head, and answers everything."""
    told = sources or (source("a"), source("b"), source("c"))
    grown = tuple(
        msgspec.structs.replace(
            one,
            latest=None if one.latest is None else one.latest + second,
            finalized=None if one.finalized is None else one.finalized + second,
        )
        for one in told
    )
    well: dict[str, object] = {
        "sources": grown,
        "quorum": 2,
        "cursor": 1_000 + second,
        "capacity": 100.0,
        "demand": 10 * second,
        "offered": 4 * second,
        "answered": 4 * second,
    }
    return Look(**{**well, **fields})  # type: ignore[arg-type]  # as above


def judged(looks: Iterable[tuple[int, Look]], settings: PauseSettings = SETTINGS) -> list[tuple[int, Finding, Finding]]:
    causes = Causes(settings)
    return [(second, *causes.judge(float(second), each)) for second, each in looks]


def first_trouble(
    change: Callable[[int], Look],
    which: int,
    *,
    calm: int = 200,
    until: int = 1_000,
    settings: PauseSettings = SETTINGS,
) -> tuple[int, Trouble] | None:
    """Seconds from the change to the first trouble; which: 1 deposits, 2 withdrawals."""
    well = [(second, look(second)) for second in range(calm)]
    for found in judged([*well, *((calm + s, change(calm + s)) for s in range(until))], settings):
        finding = found[which]
        assert isinstance(finding, Finding)
        if finding.trouble is not None:
            return found[0] - calm, finding.trouble
    return None


def test_a_chain_that_does_well_pauses_nothing() -> None:
    for _, deposits, withdrawals in judged((second, look(second)) for second in range(2_000)):
        assert deposits == withdrawals == Finding()


def test_one_source_too_few() -> None:
    gone = source("b", usable=False, why="breaker open")
    for others, trouble in (((source("c"),), False), ((), True)):
        changed = lambda s, others=others: look(s, source("a"), gone, *others)  # noqa: E731 a table's row
        found = first_trouble(changed, 1, until=3)
        assert (found is not None) is trouble
        if found:
            assert found[0] == 0
            assert not found[1].lasted, "the grace is still due"
            assert found[1].reason == "1 of the 2 sources that must agree (b: breaker open)"
        assert first_trouble(changed, 2, until=3) is None, "one is enough to send by"


def test_none_at_all() -> None:
    gone = tuple(source(name, usable=False, why="timeout") for name in "abc")
    for which, words in ((1, "no trustworthy provider"), (2, "0 of 1 ways to send")):
        found = first_trouble(lambda s: look(s, *gone), which, until=3)
        assert found is not None
        assert words in found[1].reason
        assert found[1].cause == "provider"


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (source("c", confirms=False), "c: denies our block"),
        (source("c", finalized=1_000 - SETTINGS.lag_positions), "c: is behind"),
        (source("c", usable=False, why="locked out"), "c: locked out"),
    ],
)
def test_who_is_no_source_is_named(one: SourceFact, why: str) -> None:
    seen = look(0, source("a"), source("b"), one)
    assert [s.name for s in standing(seen, SETTINGS.lag_positions)] == ["a", "b"]
    assert complaints(seen, SETTINGS.lag_positions) == why
    [(_, deposits, _)] = judged([(0, seen)])
    assert deposits == Finding(warning=why)


def test_a_boaster_puts_nobody_behind() -> None:
    seen = look(0, source("a", finalized=10**12), source("b"), source("c"))
    assert [s.name for s in standing(seen, SETTINGS.lag_positions)] == ["a", "b", "c"]
    assert agreed_finality(seen, SETTINGS.lag_positions) == 1_000
    [(_, deposits, withdrawals)] = judged([(0, seen)])
    assert deposits == withdrawals == Finding()


def test_what_a_boaster_said_is_forgotten_once_it_is_kept_out() -> None:
    """Alone it is believed; then everything seems to stand still; a person cordons it, and time goes on from there."""

    def seen(second: int) -> Look:
        boaster = source("a", latest=10**12 - second, finalized=10**12 - second, usable=second < 300, why="cordoned")
        return look(second, boaster, source("b"), quorum=1)

    found = judged((second, seen(second)) for second in range(700))
    troubled = [second for second, deposits, withdrawals in found if deposits.trouble or withdrawals.trouble]
    assert troubled
    assert max(troubled) <= 301, "a look later"


def test_final_is_what_a_quorum_calls_final() -> None:
    seen = look(0, source("a", finalized=1_030), source("b", finalized=1_020), source("c", finalized=1_010))
    assert agreed_finality(seen, SETTINGS.lag_positions) == 1_020
    alone = msgspec.structs.replace(seen, quorum=1)
    assert agreed_finality(alone, SETTINGS.lag_positions) == 1_030
    assert agreed_finality(look(0, source("a"), source("b", finalized=None)), SETTINGS.lag_positions) is None


def test_a_head_that_stands_still() -> None:
    frozen = look(200)
    found = first_trouble(lambda _: frozen, 1)
    assert found is not None
    assert (found[1].cause, found[1].lasted) == ("finality", True)
    assert found[0] == pytest.approx(2 * SETTINGS.finality_seconds, abs=2)
    found = first_trouble(lambda _: frozen, 2)
    assert found is not None
    assert found[1].cause == "finality"
    assert found[0] == pytest.approx(SETTINGS.head_seconds, abs=2)


def test_one_frozen_provider_is_outvoted() -> None:
    def changed(second: int) -> Look:
        stuck = source("c", latest=1_210 - second, finalized=1_200 - second)
        return look(second, source("a"), source("b"), stuck)

    assert first_trouble(changed, 1) is None
    assert first_trouble(changed, 2) is None


def test_a_cursor_that_loses() -> None:
    # A block in ten seconds where ten come: it needs ever longer.
    found = first_trouble(lambda s: look(s, cursor=1_200 + (s - 200) // 10), 1)
    assert found is not None
    assert "losing" in found[1].reason
    assert found[1].lasted
    # One that catches up, however much there is, is no trouble.
    far = judged((s, look(s, cursor=min(1_000 + s, -100_000 + 60 * s))) for s in range(2_000))
    assert all(deposits.trouble is None for _, deposits, _ in far)


@pytest.mark.parametrize(("pace", "step"), [(0.6, 64), (0.9, 64), (0.2, 1)])
def test_a_cursor_that_loses_slowly_and_in_leaps(pace: float, step: int) -> None:
    """Each range that lands looks like progress."""
    found = first_trouble(lambda s: look(s, cursor=1_200 + int(pace * (s - 200)) // step * step), 1, until=20_000)
    assert found is not None
    assert "losing" in found[1].reason


def test_a_peak_that_is_over_requires_nothing() -> None:
    def changed(second: int) -> Look:
        demand = 2_000 + min(30 * (second - 200), 30 * 400) + 5 * max(0, second - 600)
        return look(second, capacity=34.0, demand=demand)

    causes = Causes(SETTINGS)
    for second in range(200):
        causes.judge(float(second), look(second))
    troubled = [s for s in range(200, 3_000) if causes.judge(float(s), changed(s))[0].trouble is not None]
    assert troubled, "thirty a second by thirty-four is too tight"
    assert max(troubled) < 1_000, "and when it is over, it is over"


def test_what_is_required_is_learned_though_a_provider_is_away() -> None:
    away = source("c", usable=False, why="cordoned")
    causes = Causes(SETTINGS)
    for second in range(300):
        causes.judge(float(second), look(second, source("a"), source("b"), away))
    assert causes.required == pytest.approx(10.0, rel=0.05)


def test_providers_that_bear_too_little() -> None:
    # Ten requests a second are usual; twelve must be possible.
    assert first_trouble(lambda s: look(s, capacity=12.5), 1) is None
    found = first_trouble(lambda s: look(s, capacity=11.0), 1)
    assert found is not None
    assert found[0] == pytest.approx(SETTINGS.capacity_seconds, abs=3)
    assert "11.0 requests a second where 12" in found[1].reason
    dip = lambda s: look(s, capacity=1.0 if s < 300 else 100.0)  # noqa: E731 a table's row
    assert first_trouble(dip, 1) is None, "a throttle's cut is over before"


def test_reads_that_go_unanswered() -> None:
    def changed(share: float) -> Callable[[int], Look]:
        return lambda s: look(s, answered=800 + int(share * 4 * (s - 200)))

    assert first_trouble(changed(0.85), 1) is None
    found = first_trouble(changed(0.5), 1)
    assert found is not None
    assert SETTINGS.goodput_seconds < found[0] < 2 * SETTINGS.goodput_seconds
    assert "reads at the head were answered" in found[1].reason
    # A handful of reads in a minute is noise.
    quiet = lambda s: look(s, offered=800 + (s - 200) // 6, answered=800)  # noqa: E731 a table's row
    assert first_trouble(quiet, 1) is None


def test_a_lie_pauses_once() -> None:
    seen = [look(0), look(1, strikes=1, strike="b: another hash"), look(2, strikes=1), look(3, strikes=2)]
    found = [deposits.trouble for _, deposits, _ in judged(enumerate(seen))]
    assert [trouble is not None for trouble in found] == [False, True, False, True]
    assert found[1] is not None
    assert "b: another hash" in found[1].reason
    assert found[1].lasted


def test_a_chain_that_cannot_be_read_stops_both() -> None:
    for which in (1, 2):
        found = first_trouble(lambda s: look(s, failing=float(s - 200), trouble="unproven: x"), which)
        assert found is not None
        assert found[0] == SETTINGS.sick_seconds
        assert found[1].reason == "the chain can't be read (unproven: x)"


def test_a_blockhash_of_long_ago() -> None:
    behind = lambda s: look(s, cursor=1_000 + s - 76)  # noqa: E731 a table's row
    found = first_trouble(behind, 2, until=3)
    assert found is not None
    assert "76 positions behind" in found[1].reason
    assert first_trouble(lambda s: look(s, cursor=1_000 + s - 75), 2, until=3) is None
    none = msgspec.structs.replace(SETTINGS, blockhash_positions=0)
    assert first_trouble(behind, 2, until=3, settings=none) is None


def test_an_attempt_that_cannot_be_followed() -> None:
    found = first_trouble(lambda s: look(s, attempt_age=s - 200.0, looked_ago=s - 200.0), 2)
    assert found is not None
    assert found[0] == 2 * SETTINGS.finality_seconds
    assert "could not be followed" in found[1].reason
    assert first_trouble(lambda s: look(s, attempt_age=s - 200.0, looked_ago=1.0), 2) is None, "slow, and followed"
    assert first_trouble(lambda s: look(s, attempt_age=0.0, looked_ago=s - 200.0), 2) is None, "nothing is out"


def test_too_few_ways_to_send() -> None:
    two = msgspec.structs.replace(SETTINGS, broadcast_paths=2)
    mute = source("b", sends=False)
    found = first_trouble(lambda s: look(s, source("a"), mute), 2, until=3, settings=two)
    assert found is not None
    assert found[1].reason == "1 of 2 ways to send (b: takes no transactions)"
