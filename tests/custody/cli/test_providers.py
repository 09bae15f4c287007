"""Providers as operators see them, and keeping one out: what is shown, what is held, and what is refused."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chains.pool.breaker import State
from custody.cli.admin import call
from custody.ledger import transactions as tx
from custody.views.facts import ChainFacts, PauseFacts
from tests.custody.api.rig import ETH, SOL, World, a_pause, health
from tests.custody.cli.rig import Ctl

ME = f"uid:{os.getuid()}"

IN_TROUBLE: dict[str, dict[str, Any]] = {
    "quarantined": {"integrity_breaker": State.OPEN, "auth_breaker": State.OPEN, "may_ask": False},
    "locked_out": {"auth_breaker": State.OPEN, "cordoned": "x", "may_ask": False},
    "cordoned": {"cordoned": "x", "error_breaker": State.OPEN, "may_ask": False},
    "open": {"error_breaker": State.OPEN, "frozen_for": 2.0, "may_ask": False},
    "frozen": {"frozen_for": 2.0, "failing_for": 1.0, "may_ask": False},
    "spent": {"may_ask": False, "reason": "the plan's quota is used up for 900 s more"},
    "probing": {"error_breaker": State.HALF_OPEN, "failing_for": 1.0},
    "failing": {"failing_for": 1.0},
    "ok": {},
}


def furnish(world: World) -> None:
    """Two providers on Ethereum, of which one is in trouble; one on Solana, of the same name as the first there."""
    second = health(
        "second",
        may_ask=False,
        reason="throttled, paused for 12.4 s more",
        frozen_for=12.4,
        failing_for=31.0,
        last_error="throttled",
        last_error_message="HTTP 429: slow \x1b[31mdown",
        last_error_ago=1.2,
        unknown_errors=3,
        learned_rate=9.1,
        tokens=0.0,
        latest=21_408_123,
        finalized=21_408_064,
    )
    world.outside[ETH] = ChainFacts(
        chain=ETH,
        providers=(health("first"), second),
        quorum=2,
        queue=(("broadcast", 0), ("live", 4)),
        waits=(("live", 0.31),),
        doubts=(("second", "unproven", 2), ("second", "absent_unproven", 7)),
    )
    world.outside[SOL] = ChainFacts(chain=SOL, providers=(health("first", latest=None, finalized=None),), quorum=1)


async def test_json_has_everything_that_is_known_of_a_provider(ctl: Ctl, world: World) -> None:
    furnish(world)
    answer = await ctl.json("providers")
    assert [(row["chain"], row["name"], row["state"]) for row in answer["providers"]] == [
        (ETH, "first", "ok"), (ETH, "second", "frozen"), (SOL, "first", "ok")
    ]  # fmt: skip
    sick = answer["providers"][1]
    given = {name: getattr(world.outside[ETH].providers[1], name) for name in ("host", "account", "may_ask", "reason")}
    assert given.items() <= sick.items()
    assert (sick["error_breaker"], sick["auth_breaker"], sick["integrity_breaker"]) == ("closed",) * 3
    assert (sick["last_error"], sick["last_error_ago"], sick["failing_for"]) == ("throttled", 1.2, 31.0)
    assert (sick["frozen_for"], sick["unknown_errors"], sick["tokens"]) == (12.4, 3, 0.0)
    assert (sick["doubts"], answer["providers"][0]["doubts"]) == ({"absent_unproven": 7, "unproven": 2}, {})
    assert (sick["rate"], sick["learned_rate"], sick["contract_rate"]) == ("9.1/25.0", 9.1, 25.0)
    assert sick["learned_concurrency"] == {"light": 24, "heavy": 8, "write": 8}
    assert (sick["lag"], sick["finalized_lag"]) == (648, 640)
    assert (answer["providers"][0]["lag"], answer["providers"][2]["lag"]) == (0, None), "unknown is not behind"
    ethereum, solana = answer["chains"]
    assert (ethereum["usable"], ethereum["quorum"], ethereum["latest"]) == (1, 2, 21_408_771)
    assert ethereum["queue"] == [
        {"priority": "broadcast", "calls": 0, "oldest_seconds": None},
        {"priority": "live", "calls": 4, "oldest_seconds": 0.31},
    ]
    assert (solana["providers"], solana["latest"]) == (1, None)


async def test_who_was_proven_wrong_sets_no_mark_for_the_others(ctl: Ctl, world: World) -> None:
    liar = health("second", latest=99_999_999, finalized=99_999_999, integrity_breaker=State.OPEN)
    world.outside[ETH] = ChainFacts(chain=ETH, providers=(health("first"), liar))
    rows = (await ctl.json("providers"))["providers"]
    assert [(row["lag"], row["finalized_lag"]) for row in rows] == [(0, 0), (-78_591_228, -78_591_295)]
    world.outside[ETH] = ChainFacts(chain=ETH, providers=(health("first"), health("third", latest=99_999_999)))
    await ctl("providers", "cordon", "third", "--reason", "it invents blocks")
    assert [row["lag"] for row in (await ctl.json("providers"))["providers"]] == [0, -78_591_228]


async def test_the_tables_say_the_same_in_words(ctl: Ctl, world: World) -> None:
    furnish(world)
    said = await ctl("providers")
    assert said.code == 0, said
    for words in ("frozen 12 s", "648", "4 (0.3 s)", "throttled, paused for 12.4 s more", "last error 1.2 s ago"):
        assert words in said.out
    assert "\x1b" not in said.out, "what a provider said moves no cursor"
    assert "solana: one provider: its word alone is taken for truth" in said.out
    assert "one account, first@first.example: ethereum first, solana first\n" in said.out


@pytest.mark.parametrize(("state", "trouble"), IN_TROUBLE.items(), ids=IN_TROUBLE)
async def test_the_gravest_trouble_is_the_state(ctl: Ctl, world: World, state: str, trouble: dict[str, Any]) -> None:
    world.outside[ETH] = ChainFacts(chain=ETH, providers=(health("first", **trouble),))
    [row] = (await ctl.json("providers"))["providers"]
    assert row["state"] == state


@pytest.mark.parametrize(
    ("usable", "sick", "quorum", "truth"),
    [
        (0, 0, 0, "no provider is configured: nothing is read here, and nothing sent"),
        (1, 0, 0, "one provider: its word alone is taken for truth"),
        (1, 0, 1, "one provider: its word alone is taken for truth"),
        (0, 1, 1, "one provider: its word alone is taken for truth; none can be asked now: nothing new is believed"),
        (3, 0, 0, "3 providers"),
        (2, 1, 1, "3 providers: the word of any one of them alone is taken for truth"),
        (2, 1, 2, "2 of 3 providers must say the same before it is believed"),
        (
            1,
            2,
            2,
            "2 of 3 providers must say the same before it is believed; 1 can be asked now: nothing new is believed",
        ),
    ],
)
async def test_status_says_what_the_number_of_providers_means(
    ctl: Ctl, world: World, usable: int, sick: int, quorum: int, truth: str
) -> None:
    well = [health(f"w{n}") for n in range(usable)] + [health(f"s{n}", may_ask=False) for n in range(sick)]
    world.outside[ETH] = ChainFacts(chain=ETH, providers=tuple(well), quorum=quorum)
    [row] = [row for row in (await ctl.json("status"))["chains"] if row["chain"] == ETH]
    assert (row["truth"], row["quorum"], row["usable"]) == (truth, quorum, usable)
    assert f"{ETH}: {truth}\n" in (await ctl("status")).out


async def test_status_shows_trouble_and_where_the_pausing_stands(ctl: Ctl, world: World) -> None:
    assert "pausing" not in (await ctl("status")).out
    running = PauseFacts(
        direction="deposits", state="RUNNING", since=1_764_254_000_000, cause="", reason="", queue_age_seconds=0.0,
        estimate_seconds=None,
    )  # fmt: skip
    world.outside[ETH] = ChainFacts(chain=ETH, trouble="no_provider: nobody answers", pauses=(running,))
    said = await ctl("status")
    assert "TROUBLE: no_provider: nobody answers" in said.out
    assert "pausing" not in said.out, "all is running"
    late = replace_pause(running, direction="withdrawals", state="CATCHING_UP", cause="provider", reason="1 of 2")
    world.outside[ETH] = ChainFacts(chain=ETH, pauses=(running, late))
    [row] = [row for row in (await ctl.json("status"))["chains"] if row["chain"] == ETH]
    assert [(one["direction"], one["state"]) for one in row["pauses"]] == [
        ("deposits", "running"), ("withdrawals", "catching_up")
    ]  # fmt: skip
    assert row["pauses"][1]["estimate_seconds"] == 240.0
    table = (await ctl("status")).out
    assert "catching up" in table
    for words in ("15 m", "4 m", "provider: 1 of 2", "2025-11-27"):
        assert words in table


def replace_pause(pause: PauseFacts, **changes: Any) -> PauseFacts:
    given = {"queue_age_seconds": 912.0, "estimate_seconds": 240.0, **changes}
    return PauseFacts(**{**{name: getattr(pause, name) for name in PauseFacts.__struct_fields__}, **given})


# --- cordons


async def test_a_cordon_asks_nothing_needs_no_key_and_names_the_uid(ctl: Ctl, world: World, tmp_path: Path) -> None:
    furnish(world)
    keyless = replace(ctl, key=tmp_path / "absent.json")
    said = await keyless("providers", "cordon", "second", "--chain", ETH, "--reason", "wrong logs")
    [(key, hold)] = world.books.state.holds.rows()
    assert (said.code, said.out) == (0, f"second of {ETH}: cordoned (block {world.replica.height}): {key[0]}\n")
    assert (hold.chain, hold.provider, hold.direction, hold.reason) == (ETH, "second", "all", "wrong logs")
    assert (hold.origin, hold.cause, hold.actor, hold.until) == ("operator", "cordon", ME, 0)
    assert (hold.asset, hold.account, hold.wallet) == ("", "", "")
    shown = (await ctl.json("providers"))["providers"][1]
    assert (shown["state"], shown["cordoned"], shown["holds"]) == ("cordoned", "wrong logs", [key[0]])


async def test_who_was_just_cordoned_is_not_counted_as_usable(ctl: Ctl, world: World) -> None:
    """Whether its pool has caught up with the ledger or not."""
    world.outside[ETH] = ChainFacts(chain=ETH, providers=(health("first"), health("second")), quorum=2)
    await ctl("providers", "cordon", "second", "--reason", "x")
    [status] = [row for row in (await ctl.json("status"))["chains"] if row["chain"] == ETH]
    [row] = (await ctl.json("providers"))["chains"][:1]
    assert (status["usable"], row["usable"]) == (1, 1)
    assert status["truth"] == row["truth"] != ""
    assert "1 can be asked now" in row["truth"]


async def test_without_a_chain_every_provider_of_the_name_is_kept_out(ctl: Ctl, world: World) -> None:
    furnish(world)
    answer = await ctl.json("providers", "cordon", "first", "--reason", "x")
    assert [(row["chain"], row["provider"], row["already"]) for row in answer["cordons"]] == [
        (ETH, "first", False), (SOL, "first", False)
    ]  # fmt: skip
    assert {hold.chain for _, hold in world.books.state.holds.rows()} == {ETH, SOL}


async def test_cordoning_twice_is_one_cordon_and_says_so(ctl: Ctl, world: World) -> None:
    furnish(world)
    first = await ctl.json("providers", "cordon", "second", "--reason", "x")
    before = world.standing()
    again = await ctl.json("providers", "cordon", "second", "--reason", "another")
    assert world.standing() == before
    assert (again["cordons"][0]["already"], again["cordons"][0]["height"]) == (True, -1)
    assert again["cordons"][0]["hold"] == first["cordons"][0]["hold"]
    assert (
        "second of ethereum: was cordoned already" in (await ctl("providers", "cordon", "second", "--reason", "x")).out
    )


async def test_cordoned_at_the_same_moment_by_two_it_is_one_cordon(ctl: Ctl, world: World) -> None:
    furnish(world)

    async def cordon(reason: str) -> Any:
        body = json.dumps({"provider": "second", "chain": "", "reason": reason}).encode()
        status, answer = await asyncio.to_thread(call, ctl.socket, "POST", "/admin/providers/cordon", body)
        assert status == 200, answer
        return answer["cordons"][0]

    both = await asyncio.gather(cordon("x"), cordon("y"))
    assert len({said["hold"] for said in both}) == 1
    assert len(world.books.state.holds) == 1


async def test_after_it_was_lifted_a_provider_can_be_cordoned_again(ctl: Ctl, world: World) -> None:
    furnish(world)
    for number in (1, 2):
        assert (await ctl("providers", "cordon", "second", "--reason", "x")).code == 0
        assert (await ctl("--yes", "providers", "uncordon", "second", "--reason", "y")).code == 0
        assert len(world.history.holds(10)) == number
    assert len(world.books.state.holds) == 0


async def test_a_cordon_that_leaves_too_few_is_done_and_warned_of(ctl: Ctl, world: World) -> None:
    furnish(world)
    said = await ctl("providers", "cordon", "second", "--reason", "x")
    assert said.code == 0
    assert "1 of 2 providers of ethereum left (first), and 2 must say the same" in said.err
    last = (await ctl.json("providers", "cordon", "first", "--chain", ETH, "--reason", "x"))["cordons"]
    assert "no provider of ethereum is left" in last[0]["warning"]
    world.outside[ETH] = ChainFacts(chain=ETH, providers=tuple(map(health, ("first", "second", "third"))), quorum=1)
    enough = (await ctl.json("providers", "cordon", "second", "--chain", ETH, "--reason", "x"))["cordons"]
    assert enough[0]["warning"] == "", "the third is left"


@pytest.mark.parametrize("latch", ["auth_breaker", "integrity_breaker"])
async def test_who_is_out_until_a_person_comes_is_not_counted_as_left(ctl: Ctl, world: World, latch: str) -> None:
    sick = health("second", **{latch: State.OPEN})
    world.outside[ETH] = ChainFacts(chain=ETH, providers=(health("first"), sick))
    [row] = (await ctl.json("providers", "cordon", "first", "--reason", "x"))["cordons"]
    assert "no provider of ethereum is left" in row["warning"]


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("cordon", "third", "--reason", "x"), 3, "unknown_provider"),
        (("cordon", "second", "--chain", SOL, "--reason", "x"), 3, "unknown_provider"),
        (("cordon", "second", "--chain", "dogechain", "--reason", "x"), 3, "unknown_chain"),
        (("cordon", "", "--reason", "x"), 3, "unknown_provider"),
        (("cordon", "second", "--reason", " "), 3, "field_out_of_bounds"),
        (("cordon", "second", "--reason", "x" * 501), 3, "field_out_of_bounds"),
        (("uncordon", "third", "--reason", "x"), 3, "unknown_provider"),
        (("uncordon", "second", "--chain", SOL, "--reason", "x"), 3, "unknown_provider"),
        (("uncordon", "second", "--chain", "dogechain", "--reason", "x"), 3, "unknown_chain"),
        (("cordon", "second"), 2, "--reason"),
        (("cordon", "--reason", "x"), 2, "NAME"),
        (("uncordon", "second"), 2, "--reason"),
        (("uncordon", "--reason", "x"), 2, "NAME"),
        (("cordn", "second", "--reason", "x"), 2, "cordn"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else str(value),
)
async def test_a_wrong_line_changes_nothing(
    ctl: Ctl, world: World, words: tuple[str, ...], code: int, why: str
) -> None:
    furnish(world)
    before = world.standing()
    said = await ctl("--yes", "providers", *words)
    assert (said.code, said.out) == (code, ""), said
    assert why in said.err
    assert world.standing() == before


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"provider": "second", "chain": ""},
        {"provider": "second", "chain": "", "reason": "x", "asset": "ETH"},
        {"provider": 7, "chain": "", "reason": "x"},
    ],
    ids=str,
)
async def test_the_socket_takes_only_a_whole_cordon(ctl: Ctl, world: World, body: object) -> None:
    furnish(world)
    before = world.standing()
    text = json.dumps(body).encode()
    status, answer = await asyncio.to_thread(call, ctl.socket, "POST", "/admin/providers/cordon", text)
    assert (status, answer["error"]["code"]) == (400, "body_malformed")
    assert world.standing() == before


async def test_uncordon_asks_and_signs_with_the_operators_own_key(ctl: Ctl, world: World, tmp_path: Path) -> None:
    furnish(world)
    await ctl("providers", "cordon", "second", "--reason", "wrong logs")
    declined = await ctl("providers", "uncordon", "second", "--reason", "fixed", answer="n\n")
    assert (declined.code, declined.out) == (3, "")
    assert f"provider second of ethereum, {ME}: wrong logs" in declined.err
    keyless = replace(ctl, key=tmp_path / "absent.json")
    assert (await keyless("--yes", "providers", "uncordon", "second", "--reason", "fixed")).code == 78
    assert len(world.books.state.holds) == 1
    said = await ctl("providers", "uncordon", "second", "--reason", "fixed", answer="y\n")
    assert (said.code, said.out.startswith("uncordoned: cordon:ethereum:second:")) == (0, True)
    assert len(world.books.state.holds) == 0
    [record] = world.history.holds(10)
    assert (record.lifted_by, record.lifted_reason) == ("operator", "fixed")
    again = await ctl("--yes", "providers", "uncordon", "second", "--reason", "fixed")
    assert (again.code, again.out) == (0, "second is not kept out; nothing to lift\n")


async def test_uncordon_lifts_the_hold_of_a_proven_lie_too_and_no_pause(ctl: Ctl, world: World) -> None:
    furnish(world)
    lie = {"asset": "", "account": "", "wallet": "", "direction": "all", "origin": "auto", "actor": "auto", "until": 0}
    await world.ok("relay", tx.HoldSet, hold="auto:integrity:p", chain=ETH, provider="second", cause="integrity",
                   reason="two hashes", **lie)  # fmt: skip
    await world.ok("relay", tx.HoldSet, hold="auto:integrity:c", chain=ETH, provider="", cause="integrity",
                   reason="two hashes", **lie)  # fmt: skip
    await world.hands.hold(a_pause("h-1", chain=ETH))
    await ctl("providers", "cordon", "second", "--reason", "x")
    states = [row["state"] for row in (await ctl.json("providers"))["providers"]]
    assert states == ["ok", "quarantined", "ok"], "though its pool, after a restart, knows of no lie"
    await ctl("providers", "cordon", "first", "--reason", "x")
    lifted = (await ctl.json("--yes", "providers", "uncordon", "second", "--chain", ETH, "--reason", "x"))["lifted"]
    assert [name.rpartition(":")[0] for name in lifted] == ["auto:integrity", "cordon:ethereum:second"]
    left = [hold["id"] for hold in (await ctl.json("holds"))["holds"]]
    assert [name.rpartition(":")[0] or name for name in left] == [
        "auto:integrity", "cordon:ethereum:first", "cordon:solana:first", "h-1"
    ]  # fmt: skip


async def test_a_provider_that_left_the_configuration_can_still_be_uncordoned(ctl: Ctl, world: World) -> None:
    furnish(world)
    await ctl("providers", "cordon", "second", "--reason", "x")
    world.outside[ETH] = ChainFacts(chain=ETH, providers=(health("first"),))
    assert (await ctl("--yes", "providers", "uncordon", "second", "--reason", "gone")).code == 0
    assert len(world.books.state.holds) == 0


async def test_a_cordon_is_shown_for_what_it_is_and_pauses_nothing(ctl: Ctl, world: World) -> None:
    furnish(world)
    await ctl("providers", "cordon", "second", "--reason", "wrong logs")
    status = (await ctl("status")).out
    assert "nothing is paused" in status
    assert "not asked: provider second of ethereum" in status
    assert "on hold" not in status
    table = (await ctl("holds")).out
    assert "provider second of ethereum" in table
    account = await ctl("accounts", "show", "alice")
    assert "on hold" not in account.out
    await world.ok("payouts", tx.WithdrawalRequested, **world.withdrawal())
    assert world.books.state.withdrawals.need("w-1").state == "queued"
    assert (await ctl.json("withdrawals", "show", "w-1"))["held"] is False
