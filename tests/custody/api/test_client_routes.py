"""The client API as an exchange's backend uses it, over loopback, on a real ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from msgspec import structs

from custody.api.client_app import client_app
from custody.api.ports import ApiLimits
from custody.api.serving import serve_http
from custody.ledger import transactions as tx
from custody.views.facts import ChainFacts, PauseFacts
from tests.custody.api.asking import Answered, Asker
from tests.custody.api.rig import (
    CONTRACT,
    ETH,
    KEYS,
    SOL,
    STRANGER,
    USDC_ETH,
    World,
    a_pause,
    address_of,
    port_of,
    serving_clients,
    until_polled,
)

ETHER = 10**18


async def test_an_address_is_pending_until_signer_and_scanner_have_answered(ask: Asker, world: World) -> None:
    said = world.envelope("payouts", tx.AddressRequested, account="carol", chain=ETH)
    first = await ask.post("/v1/accounts/carol/addresses", said)
    assert (first.status, first.body) == (202, {"account": "carol", "chain": ETH, "address": "", "state": "pending"})
    await world.assign("carol", ETH)
    again = await ask.post("/v1/accounts/carol/addresses", said)
    assert (again.status, again.body["address"]) == (201, address_of("carol", ETH))
    listed = await ask.get("/v1/accounts/carol/addresses")
    assert listed.body == {"account": "carol", "addresses": [again.body]}


async def test_an_address_that_comes_in_time_is_waited_for(world: World) -> None:
    limits = ApiLimits(address_seconds=20)
    async with serving_clients(world, limits) as base, aiohttp.ClientSession() as session:
        ask = Asker(base, world, session)
        said = world.envelope("payouts", tx.AddressRequested, account="carol", chain=ETH)
        answer = asyncio.create_task(ask.post("/v1/accounts/carol/addresses", said))
        await until_polled(world)
        await world.assign("carol", ETH)
        assert (await answer).status == 201


async def test_an_address_is_not_shown_before_its_scanner_watches_it(ask: Asker, world: World) -> None:
    await world.ok("payouts", tx.AddressRequested, account="carol", chain=ETH)
    index = world.books.state.slots.need("carol", ETH).index
    await world.ok(
        "signer", tx.AddressAttested, chain=ETH, tier="deposit", account="carol", index=index, address="0x" + "cd" * 20
    )
    listed = await ask.get("/v1/accounts/carol/addresses")
    assert [(row["address"], row["state"]) for row in listed.body["addresses"]] == [("", "pending")]


async def test_balances_show_units_and_decimals_of_every_asset(ask: Asker, world: World) -> None:
    await world.deposit("alice", "USDC", 1_500_000)
    await ask.post("/v1/withdrawals", world.envelope("payouts", tx.WithdrawalRequested, **world.withdrawal()))
    answer = await ask.get("/v1/accounts/alice/balances")
    assert answer.body["height"] == world.replica.height
    rows = {row["asset"]: (row["available"], row["held"]) for row in answer.body["balances"]}
    assert rows == {
        "ETH": ({"units": str(9 * ETHER), "decimal": "9"}, {"units": str(ETHER), "decimal": "1"}),
        "SOL": ({"units": "0", "decimal": "0"}, {"units": "0", "decimal": "0"}),
        "USDC": ({"units": "150000000", "decimal": "1.5"}, {"units": "0", "decimal": "0"}),
    }


async def test_a_deposit_is_found_by_its_id_slashes_and_all(ask: Asker, world: World) -> None:
    name = await world.deposit("alice", "USDC", 2_000_000, tx_name="0xfeed")
    assert name == f"{ETH}:0xfeed:Acc/{USDC_ETH}"
    for spelt in (name, quote(name, safe="")):
        answer = await ask.get(f"/v1/deposits/{spelt}")
        assert answer.status == 200, answer.body
        assert (answer.body["id"], answer.body["state"]) == (name, "credited")
        assert answer.body["amount"] == {"units": "200000000", "decimal": "2"}
        assert answer.body["recorded_at"] == answer.body["credited_at"] > 0
    assert (await ask.get("/v1/deposits/ethereum:0xnone:native")).refusal == (404, "unknown_deposit")


async def test_deposits_come_in_pages(ask: Asker, world: World) -> None:
    for number in range(5):
        await world.deposit("bob", "ETH", 100 + number)
    await world.deposit("alice", "SOL", 5, chain=SOL)
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = await ask.get(f"/v1/deposits?account=bob&limit=2&after={after}")
        assert len(page.body["deposits"]) <= 2
        seen += [row["amount"]["units"] for row in page.body["deposits"]]
        after = page.body["after"]
    assert seen == ["100", "101", "102", "103", "104"]
    below = await ask.get("/v1/deposits?state=below_minimum")
    assert [(row["chain"], row["amount"]["units"]) for row in below.body["deposits"]] == [(SOL, "5")]
    assert (await ask.get(f"/v1/deposits?chain={SOL}&state=credited")).body == {"deposits": [], "after": None}


async def test_a_withdrawal_is_asked_for_shown_and_cancelled(ask: Asker, world: World) -> None:
    said = world.envelope("payouts", tx.WithdrawalRequested, **world.withdrawal())
    first = await ask.post("/v1/withdrawals", said)
    assert (first.status, first.body["state"], first.body["to"]) == (201, "queued", STRANGER)
    before = world.standing()
    again = await ask.post("/v1/withdrawals", said)
    assert (again.status, again.body) == (201, first.body)
    assert world.standing() == before, "a repeat changes nothing"
    assert (await ask.get("/v1/withdrawals/w-1")).body == first.body
    cancel = world.envelope("payouts", tx.WithdrawalCancelled, id="w-1", reason="changed my mind")
    cancelled = await ask.post("/v1/withdrawals/w-1/cancel", cancel)
    assert (cancelled.status, cancelled.body["state"]) == (200, "cancelled")
    assert cancelled.body["ended_at"] is not None
    assert (await ask.post("/v1/withdrawals/w-1/cancel", cancel)).body == cancelled.body
    listed = await ask.get("/v1/withdrawals?account=alice&state=cancelled")
    assert [row["id"] for row in listed.body["withdrawals"]] == ["w-1"]


async def test_the_same_id_with_other_content_is_a_conflict_for_ever(ask: Asker, world: World) -> None:
    await ask.post("/v1/withdrawals", world.envelope("payouts", tx.WithdrawalRequested, **world.withdrawal()))
    other = world.envelope("payouts", tx.WithdrawalRequested, **world.withdrawal(amount="2"))
    assert (await ask.post("/v1/withdrawals", other)).refusal == (409, "id_conflict")


async def test_a_repeat_gets_the_first_answer_whatever_changed_meanwhile(ask: Asker, world: World) -> None:
    poor = world.envelope("payouts", tx.WithdrawalRequested, **world.withdrawal(account="bob"))
    assert (await ask.post("/v1/withdrawals", poor)).refusal == (422, "insufficient_balance")
    await world.deposit("bob", "ETH", 2 * ETHER)
    asked = len(world.chains.asked)
    assert (await ask.post("/v1/withdrawals", poor)).refusal == (422, "insufficient_balance")
    assert len(world.chains.asked) == asked, "the first answer stands; nobody was asked again"
    fresh = world.envelope("payouts", tx.WithdrawalRequested, **world.withdrawal(account="bob"))
    assert (await ask.post("/v1/withdrawals", fresh)).status == 201


async def test_a_recipient_is_checked_before_the_ledger_hears_of_it(ask: Asker, world: World) -> None:
    before = world.standing()
    said = world.envelope("payouts", tx.WithdrawalRequested, **world.withdrawal(to=CONTRACT))
    assert (await ask.post("/v1/withdrawals", said)).refusal == (422, "address_is_contract")
    assert world.standing() == before


async def test_without_a_provider_the_form_alone_is_judged(ask: Asker, world: World) -> None:
    world.chains.silent = True
    bad = world.envelope("payouts", tx.WithdrawalRequested, **world.withdrawal(to="nonsense"))
    assert (await ask.post("/v1/withdrawals", bad)).refusal == (422, "address_malformed")
    good = world.envelope("payouts", tx.WithdrawalRequested, **world.withdrawal())
    assert (await ask.post("/v1/withdrawals", good)).status == 201


async def test_strangers_and_wrong_roles_make_nobody_ask_a_provider(ask: Asker, world: World) -> None:
    wrong = world.envelope("engine", tx.WithdrawalRequested, **world.withdrawal())
    assert (await ask.post("/v1/withdrawals", wrong)).refusal == (403, "role_may_not")
    assert world.chains.asked == []


async def test_a_withdrawal_to_one_of_our_own_addresses_is_a_transfer(ask: Asker, world: World) -> None:
    own = world.withdrawal(to=address_of("bob", ETH))
    answer = await ask.post("/v1/withdrawals", world.envelope("payouts", tx.WithdrawalRequested, **own))
    assert (answer.status, answer.body["state"]) == (201, "settled")
    assert world.chains.asked == []
    bob = await ask.get("/v1/accounts/bob/balances")
    assert bob.body["balances"][0]["available"]["decimal"] == "1"


async def test_a_held_withdrawal_says_so(ask: Asker, world: World) -> None:
    await world.hands.hold(a_pause(chain=ETH, direction="withdrawals"))
    said = world.envelope("payouts", tx.WithdrawalRequested, **world.withdrawal())
    assert (await ask.post("/v1/withdrawals", said)).body["held"] is True


async def test_a_batch_is_booked_as_a_whole(ask: Asker, world: World) -> None:
    legs = (
        tx.TransferLeg(source="alice", target="bob", asset="ETH", amount="100"),
        tx.TransferLeg(source="bob", target="house:fees", asset="ETH", amount="1"),
    )
    said = world.envelope("engine", tx.TransferBatch, id="trade-1", legs=legs)
    answer = await ask.post("/v1/transfers", said)
    assert answer.status == 201
    assert answer.body == {
        "id": "trade-1",
        "state": "booked",
        "legs": 2,
        "height": world.replica.height,
        "at": world.now,
    }
    assert (await ask.get("/v1/transfers/trade-1", key="engine")).body == answer.body
    assert (await ask.get("/v1/transfers/trade-2")).refusal == (404, "unknown_transfer")
    greedy = (tx.TransferLeg(source="bob", target="alice", asset="ETH", amount="100"),)
    refused = await ask.post("/v1/transfers", world.envelope("engine", tx.TransferBatch, id="trade-2", legs=greedy))
    assert refused.refusal == (422, "insufficient_balance")


async def test_events_are_gapless_and_say_what_happened(ask: Asker, world: World) -> None:
    await ask.post("/v1/withdrawals", world.envelope("payouts", tx.WithdrawalRequested, **world.withdrawal()))
    await world.ok("payouts", tx.WithdrawalCancelled, id="w-1", reason="no")
    await world.hands.hold(a_pause())
    await world.ok("operator", tx.HoldLifted, hold="h-1", reason="fine again", actor="operator")
    everything = await ask.get("/v1/events?limit=500")
    events = everything.body["events"]
    assert [event["sequence"] for event in events] == list(range(1, everything.body["last"] + 1))
    kinds = [event["type"] for event in events]
    assert kinds[:3] == ["account.opened", "address.assigned", "address.assigned"]
    assert kinds[-6:] == [
        "deposit.recorded", "deposit.credited", "withdrawal.opened", "withdrawal.moved", "hold.set", "hold.lifted"
    ]  # fmt: skip
    moved = events[-3]
    assert (moved["withdrawal"], moved["account"], moved["state"], moved["reason"]) == (
        "w-1",
        "alice",
        "cancelled",
        "no",
    )
    assert not any(event.get("address") == "" for event in events), "the house's own addresses are nobody's business"
    paged: list[dict[str, object]] = []
    while len(paged) < len(events):
        paged += (await ask.get(f"/v1/events?after={len(paged)}&limit=3")).body["events"]
    assert paged == events


async def test_a_poll_ends_with_the_next_event(ask: Asker, world: World) -> None:
    last = world.feed.last
    poll = asyncio.create_task(ask.get(f"/v1/events?after={last}&wait=30"))
    await until_polled(world)
    await world.hands.hold(a_pause())
    answer: Answered = await poll
    assert [event["type"] for event in answer.body["events"]] == ["hold.set"]
    assert (await ask.get(f"/v1/events?after={last + 1}")).body == {"events": [], "last": last + 1}


async def test_the_next_sequence_number_is_told(ask: Asker, world: World) -> None:
    answer = await ask.get("/v1/sequence")
    number = world.sequencer.next_sequence("payouts")
    assert answer.body == {"key": "payouts", "next": number, "ledger": world.ledger}


async def test_the_status_is_open_and_keeps_persons_out(ask: Asker, world: World) -> None:
    assert (await ask.send("GET", "/v1/status")).body["paused"] is False
    await world.hands.hold(a_pause("h-1", chain=SOL, direction="deposits", reason="node upgrade"))
    await world.hands.hold(a_pause("h-2", account="alice", direction="withdrawals", reason="alice lost her phone"))
    answer = await ask.send("GET", "/v1/status")
    assert answer.body["paused"] is True
    told = [(hold["scope"], hold["chain"], hold["direction"], hold["reason"]) for hold in answer.body["holds"]]
    assert told == [("chain", SOL, "deposits", "node upgrade"), ("account", "", "withdrawals", "")]
    assert all(hold["since"] > 0 for hold in answer.body["holds"])
    assert "alice" not in str(answer.body)
    assert "uid:" not in str(answer.body)
    chains = {row["chain"]: row for row in answer.body["chains"]}
    cursor = world.books.state.cursors.need(ETH)
    assert (chains[ETH]["height"], chains[ETH]["latest"]) == (cursor.height, 110)
    assert answer.body["height"] == world.replica.height
    assert answer.body["ledger"] == world.ledger


async def test_a_cordon_pauses_nothing_and_names_no_provider_to_strangers(ask: Asker, world: World) -> None:
    before = world.feed.last
    words = a_pause("h-1", chain=ETH, provider="acme", reason="acme says two things")
    await world.hands.hold(structs.replace(words, cause="cordon"))
    body = (await ask.send("GET", "/v1/status")).body
    assert body["paused"] is False
    assert [(hold["scope"], hold["cause"], hold["chain"]) for hold in body["holds"]] == [("provider", "cordon", "")]
    assert "acme" not in str(body)
    [event] = (await ask.get(f"/v1/events?after={before}")).body["events"]
    assert (event["chain"], event["provider"], event["cause"]) == (ETH, "acme", "cordon"), "it is not the chain's pause"


async def test_the_status_tells_how_each_direction_goes(ask: Asker, world: World) -> None:
    waiting = PauseFacts(
        direction="deposits", state="PROBING", since=5, cause="provider", reason="1 of 2 sources",
        queue_age_seconds=9.5, estimate_seconds=None,
    )  # fmt: skip
    world.outside[ETH] = ChainFacts(chain=ETH, pauses=(waiting,))
    chains = {row["chain"]: row for row in (await ask.send("GET", "/v1/status")).body["chains"]}
    assert chains[SOL]["pauses"] == []
    assert chains[ETH]["pauses"] == [
        {"direction": "deposits", "state": "probing", "since": 5, "cause": "provider", "reason": "1 of 2 sources",
         "queue_age_seconds": 9.5, "estimate_seconds": None}
    ]  # fmt: skip


async def test_the_brake_shows_in_the_status(ask: Asker, world: World) -> None:
    world.hands.journal_works = False
    await world.hands.pull(actor="uid:0", reason="something is off")
    answer = await ask.send("GET", "/v1/status")
    assert answer.body["paused"] is True
    assert [(latch["cause"], latch["reason"]) for latch in answer.body["latches"]] == [("brake", "something is off")]


async def test_probes_tell_alive_from_ready(ask: Asker, world: World) -> None:
    assert (await ask.send("GET", "/healthz")).status == 200
    assert (await ask.send("GET", "/readyz")).status == 200
    world.ready = False
    waiting = await ask.send("GET", "/readyz")
    assert (waiting.status, waiting.body) == (503, {"ready": False, "waiting_for": "the signer"})
    assert (await ask.send("GET", "/healthz")).status == 200


async def test_metrics_are_served_as_text(ask: Asker) -> None:
    answer = await ask.send("GET", "/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'custody_solvent{asset="ETH"} 1.0' in answer.body


async def test_others_work_between_the_pieces_of_a_scrape(world: World) -> None:
    steps = 0
    seen: list[int] = []

    async def work() -> None:
        nonlocal steps
        while True:
            steps += 1
            await asyncio.sleep(0)

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            seen.append(steps)
            yield b"%d\n" % number

    deps = replace(world.client_deps(), metrics=pieces)
    runner = await serve_http(client_app(deps), "127.0.0.1", 0, drain_seconds=0.5)
    worker = asyncio.create_task(work())
    try:
        url = f"http://127.0.0.1:{port_of(runner)}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            assert await response.read() == b"0\n1\n2\n"
    finally:
        worker.cancel()
        await runner.cleanup()
    assert seen == sorted(set(seen)), "each piece finds that others have been on"


@pytest.mark.parametrize("key", ["payouts", "engine", "operator", "admin-1"])
async def test_every_client_role_may_read(ask: Asker, key: str) -> None:
    assert (await ask.get("/v1/accounts/alice/balances", key=key)).status == 200


async def test_a_stopped_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    world = World(tmp_path / "w" / "journal.db")
    try:
        writer = asyncio.create_task(world.sequencer.run())
        await world.furnish()
        writer.cancel()
        await asyncio.wait([writer])
        async with serving_clients(world) as base, aiohttp.ClientSession() as session:
            said = world.envelope("payouts", tx.WithdrawalRequested, **world.withdrawal())
            answer = await Asker(base, world, session).post("/v1/withdrawals", said)
            assert answer.refusal == (503, "storage")
            assert answer.body["error"]["transient"] is True
    finally:
        world.journal.close()


async def test_more_than_may_be_at_work_is_busy(world: World) -> None:
    async with serving_clients(world, ApiLimits(in_flight=1)) as base, aiohttp.ClientSession() as session:
        ask = Asker(base, world, session)
        poll = asyncio.create_task(ask.get(f"/v1/events?after={world.feed.last}&wait=30"))
        await until_polled(world)
        refused = await ask.send("GET", "/healthz")
        assert refused.refusal == (503, "busy")
        assert refused.headers["Retry-After"] == "1"
        await world.hands.hold(a_pause())
        assert (await poll).status == 200
        assert (await ask.send("GET", "/healthz")).status == 200


def test_the_keys_of_the_rig_are_different() -> None:
    assert len({key.public for key in KEYS.values()}) == len(KEYS)
