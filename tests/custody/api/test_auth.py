"""Signed reads: only a registered client's key, only for exactly this request, only now, only once."""

from __future__ import annotations

from typing import Any

import pytest

from custody.api.auth import Nonces
from custody.api.errors import ApiCode
from custody.api.ports import ApiLimits
from custody.envelope.ed25519 import SigningKey
from tests.custody.api.asking import Asker
from tests.custody.api.rig import START, World, serving_clients

PATH = "/v1/accounts/alice/balances"
NOW = START // 1000
STILL = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"signer": SigningKey("payouts", b"\x77" * 32)}, 401, "signature_wrong"),
        ({"signer": SigningKey("nobody", b"\x77" * 32)}, 401, "unknown_key"),
        ({"timestamp": NOW - 31}, 401, "read_stale"),
        ({"timestamp": NOW + 32}, 401, "read_stale"),
        ({"path": "/v1/accounts/bob/balances"}, 401, "signature_wrong"),
        ({"path": PATH + "?x=1"}, 401, "signature_wrong"),
        ({"method": "POST"}, 401, "signature_wrong"),
        ({"key": "watcher"}, 403, "role_may_not"),
        ({"key": "sequencer"}, 403, "role_may_not"),
        ({"key": "relay"}, 403, "role_may_not"),
    ],
)
@STILL
async def test_a_read_signed_wrongly_is_refused(still: Asker, changes: dict[str, Any], status: int, code: str) -> None:
    assert (await still.get(PATH, **changes)).refusal == (status, code)


@pytest.mark.parametrize("name", ["Custody-Key", "Custody-Timestamp", "Custody-Nonce", "Custody-Signature"])
@STILL
async def test_a_read_without_one_of_its_headers_is_unsigned(still: Asker, name: str) -> None:
    headers = {key: value for key, value in still.signed(PATH).items() if key != name}
    assert (await still.send("GET", PATH, headers=headers)).refusal == (401, "read_unsigned")


@STILL
async def test_a_header_said_twice_is_no_header(still: Asker) -> None:
    doubled = [*still.signed(PATH).items(), ("Custody-Key", "engine")]
    async with still.session.get(still.base + PATH, headers=doubled) as response:
        assert (await response.json())["error"]["code"] == "read_unsigned"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("Custody-Timestamp", "+1700000000", "read_malformed"),
        ("Custody-Timestamp", "1.7e9", "read_malformed"),
        ("Custody-Timestamp", "\uff11700000000", "read_malformed"),
        ("Custody-Timestamp", "01700000000", "read_malformed"),
        ("Custody-Nonce", "short", "read_malformed"),
        ("Custody-Nonce", "n" * 65, "read_malformed"),
        ("Custody-Key", "a b", "read_malformed"),
        ("Custody-Signature", "AAAA", "signature_malformed"),
        ("Custody-Signature", "?" * 88, "signature_malformed"),
    ],
)
@STILL
async def test_headers_have_one_form(still: Asker, name: str, value: str, code: str) -> None:
    answer = await still.send("GET", PATH, headers=still.signed(PATH) | {name: value})
    assert answer.code == code
    assert answer.status in (400, 401)


async def test_a_nonce_is_good_for_one_read(ask: Asker, world: World) -> None:
    headers = ask.signed(PATH)
    assert (await ask.send("GET", PATH, headers=headers)).status == 200
    assert (await ask.send("GET", PATH, headers=headers)).refusal == (401, "read_replayed")
    other = await ask.get(PATH, key="engine", nonce=headers["Custody-Nonce"])
    assert other.status == 200, "another key may have the same nonce"
    world.now += 31_000
    assert (await ask.send("GET", PATH, headers=headers)).refusal == (401, "read_stale"), "and then it is stale"


@STILL
async def test_a_refused_read_uses_up_no_nonce(still: Asker) -> None:
    headers = still.signed(PATH)
    forged = headers | {"Custody-Signature": still.signed("/v1/status")["Custody-Signature"]}
    assert (await still.send("GET", PATH, headers=forged)).code == "signature_wrong"
    assert (await still.send("GET", PATH, headers=headers)).status == 200


async def test_a_full_memory_of_nonces_is_busy_rather_than_forgetful(ask: Asker, world: World) -> None:
    async with serving_clients(world, ApiLimits(nonces=2)) as base:
        small = Asker(base, world, ask.session)
        for _ in range(2):
            assert (await small.get(PATH)).status == 200
        assert (await small.get(PATH)).refusal == (503, "busy")
        world.now += 60_000
        assert (await small.get(PATH)).status == 200


def test_nonces_are_remembered_for_a_minute_and_no_longer() -> None:
    nonces = Nonces(10)
    assert nonces.take("k", "n", 1000) is None
    assert nonces.take("k", "n", 1059) is ApiCode.READ_REPLAYED
    assert nonces.take("k", "n", 1060) is None


def test_a_read_stays_unrepeatable_as_long_as_it_is_fresh() -> None:
    """The earliest acceptance and the last fresh second of one timestamp lie inside the memory."""
    nonces = Nonces(10)
    stamp = 1_000_000
    assert nonces.take("k", "n", stamp - 30) is None
    assert nonces.take("k", "n", stamp + 29) is ApiCode.READ_REPLAYED
