"""The Python client against the real API: typed answers, sequence numbers, and retries that can't do harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from custody.api import answers
from custody.api.ports import ApiLimits
from custody.client.client import ATTEMPTS, CustodyClient
from custody.client.errors import ApiError, Unreachable
from tests.custody.api.rig import ETH, KEYS, STRANGER, World, a_pause, a_world, address_of, serving_clients

ETHER = 10**18


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


def client_of(base: str, world: World, key: str = "payouts", ledger: str | None = None) -> CustodyClient:
    return CustodyClient(base, KEYS[key], ledger, clock=lambda: world.now / 1000, pause=no_pause)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        yield world


@pytest.fixture
async def base(world: World) -> AsyncIterator[str]:
    async with serving_clients(world, ApiLimits(address_seconds=20)) as base:
        yield base


async def test_a_users_whole_story(base: str, world: World) -> None:
    async with client_of(base, world) as client:
        asked = asyncio.create_task(client.request_address("carol", ETH))
        while world.books.state.slots.get("carol", ETH) is None:
            await asyncio.wait([asked], timeout=0.001)
        await world.assign("carol", ETH)
        address = await asked
        assert (address.address, address.state) == (address_of("carol", ETH), "assigned")
        assert (await client.addresses("carol")).addresses == (address,)
        name = await world.deposit("carol", "ETH", 2 * ETHER)
        assert (await client.deposit(name)).amount.decimal == "2"
        assert [row.id for row in (await client.deposits(account="carol")).deposits] == [name]
        paid = await client.withdraw("w-1", "carol", "ETH", ETH, STRANGER, ETHER)
        assert (paid.state, paid.amount.units) == ("queued", str(ETHER))
        balance = (await client.balances("carol"))["ETH"]
        assert (balance.available.decimal, balance.held.decimal) == ("1", "1")
        assert (await client.cancel_withdrawal("w-1", "no")).state == "cancelled"
        assert (await client.withdrawal("w-1")).reason == "no"
        assert [row.id for row in (await client.withdrawals(state="cancelled")).withdrawals] == ["w-1"]
        assert (await client.status()).ledger == world.ledger


async def test_an_engine_books_and_asks_for_its_batch(base: str, world: World) -> None:
    async with client_of(base, world, "engine") as client:
        booked = await client.transfer("t-1", [("alice", "bob", "ETH", 5), ("bob", "house:fees", "ETH", 1)])
        assert booked.legs == 2
        assert await client.booked_transfer("t-1") == booked


async def test_a_slashed_deposit_id_is_signed_as_it_is_sent(base: str, world: World) -> None:
    name = await world.deposit("alice", "USDC", 1_000_000, tx_name="0xfeed")
    assert "/" in name
    async with client_of(base, world) as client:
        assert (await client.deposit(name)).id == name


async def test_a_refusal_has_its_name_status_and_flag(base: str, world: World) -> None:
    async with client_of(base, world) as client:
        with pytest.raises(ApiError) as caught:
            await client.withdraw("w-1", "bob", "ETH", ETH, STRANGER, ETHER)
        refused = caught.value
        assert (refused.code, refused.status, refused.transient) == ("insufficient_balance", 422, True)
        with pytest.raises(ApiError, match="unknown_account"):
            await client.balances("mallory")


async def test_many_requests_at_once_have_numbers_of_their_own(base: str, world: World) -> None:
    async with client_of(base, world) as client:
        many = [client.withdraw(f"w-{n}", "alice", "ETH", ETH, STRANGER, 1000 + n) for n in range(40)]
        done = await asyncio.gather(*many)
    assert {row.id for row in done} == {f"w-{n}" for n in range(40)}
    assert len(world.books.state.withdrawals) == 40


async def test_two_processes_may_share_a_key(base: str, world: World) -> None:
    """Each finds its number taken, asks again, and says the same under a new one: nothing is lost or said twice."""
    async with client_of(base, world) as one, client_of(base, world) as two:
        await one.withdraw("one-1", "alice", "ETH", ETH, STRANGER, 1)
        for n in range(5):
            await two.withdraw(f"two-{n}", "alice", "ETH", ETH, STRANGER, 1)
        await one.withdraw("one-2", "alice", "ETH", ETH, STRANGER, 1)
    assert len(world.books.state.withdrawals) == 7


async def test_a_restarted_client_goes_on_counting(base: str, world: World) -> None:
    for n in range(2):
        async with client_of(base, world) as client:
            await client.withdraw(f"w-{n}", "alice", "ETH", ETH, STRANGER, 1)
    assert len(world.books.state.withdrawals) == 2


async def test_a_pinned_ledger_is_never_talked_out_of_it(base: str, world: World) -> None:
    async with client_of(base, world, ledger="ab" * 32) as client:
        before = world.standing()
        with pytest.raises(ApiError, match="other_ledger"):
            await client.withdraw("w-1", "alice", "ETH", ETH, STRANGER, 1)
        assert world.standing() == before
    async with client_of(base, world, ledger=world.ledger) as client:
        assert (await client.withdraw("w-1", "alice", "ETH", ETH, STRANGER, 1)).state == "queued"


async def test_events_are_followed_without_a_gap(base: str, world: World) -> None:
    async with client_of(base, world) as client:
        events: list[answers.AnyEvent] = []
        following = client.follow()
        async for event in following:
            events.append(event)
            if event.sequence == world.feed.last:
                break
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert isinstance(events[-1], answers.DepositCredited)
        more = client.follow(after=world.feed.last)
        pending = asyncio.ensure_future(anext(more))
        await world.hands.hold(a_pause())
        assert isinstance(await pending, answers.HoldSet)


class Gate:
    """A proxy in front of the API that loses answers after they were given: the worst that a network can do."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.bodies: list[bytes] = []
        self.losing = 0

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.method == "POST":
            self.bodies.append(body)
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method, self.target + request.raw_path, data=body or None, headers=request.headers
            ) as answer,
        ):
            raw = await answer.read()
        if request.method == "POST" and self.losing:
            self.losing -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=raw, status=answer.status, content_type="application/json")


@pytest.fixture
async def gate(base: str) -> AsyncIterator[tuple[Gate, str]]:
    gate = Gate(base)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gate.pass_on)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield gate, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_lost_answer_is_asked_for_with_the_very_same_bytes(gate: tuple[Gate, str], world: World) -> None:
    proxy, base = gate
    proxy.losing = 2
    async with client_of(base, world) as client:
        height = world.replica.height
        row = await client.withdraw("w-1", "alice", "ETH", ETH, STRANGER, ETHER)
    assert row.state == "queued"
    assert len(proxy.bodies) == 3
    assert len(set(proxy.bodies)) == 1
    assert world.replica.height == height + 1, "said three times, journaled once"


async def test_after_enough_tries_nobody_pretends_to_know(gate: tuple[Gate, str], world: World) -> None:
    proxy, base = gate
    proxy.losing = ATTEMPTS
    async with client_of(base, world) as client:
        with pytest.raises(Unreachable):
            await client.withdraw("w-1", "alice", "ETH", ETH, STRANGER, ETHER)
        assert len(proxy.bodies) == ATTEMPTS
        assert (await client.withdraw("w-1", "alice", "ETH", ETH, STRANGER, ETHER)).state == "queued"
    assert len(world.books.state.withdrawals) == 1


async def test_busy_is_tried_again_and_a_verdict_is_not(world: World) -> None:
    answered: list[int] = []

    async def busy(request: web.Request) -> web.Response:
        answered.append(1)
        if len(answered) < 3:
            error = {"code": "busy", "message": "later", "transient": True}
            return web.json_response({"error": error}, status=503)
        return web.json_response({"key": "payouts", "next": 1, "ledger": "x"})

    app = web.Application()
    app.router.add_get("/v1/sequence", busy)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with client_of(f"http://127.0.0.1:{runner.addresses[0][1]}", world) as client:
        with pytest.raises(ApiError) as caught:
            await client.withdraw("w-1", "alice", "ETH", ETH, STRANGER, 1)
    await runner.cleanup()
    assert len(answered) == 3
    assert (caught.value.code, caught.value.status) == ("answer_malformed", 502), "the 404 of a server that is not ours"


async def test_nobody_there_is_unreachable(world: World) -> None:
    async with serving_clients(world) as base:
        pass
    async with client_of(base, world) as client:
        with pytest.raises(Unreachable):
            await client.balances("alice")
