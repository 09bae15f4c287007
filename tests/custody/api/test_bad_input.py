"""Every kind of bad input has its own code and status, and what is refused before admission leaves no trace."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from custody.api.ports import ApiLimits
from custody.envelope import envelopes
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import sign
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.sequencer import MAX_WAITING
from tests.custody.api.asking import JSON, Asker
from tests.custody.api.rig import ETH, KEYS, SOL, World, serving_clients

Make = Callable[[World], bytes]

WITHDRAWALS = "/v1/withdrawals"
STILL = pytest.mark.asyncio(loop_scope="module")
"""In one world for all, since none of them changes it."""


def signed(payload: bytes, key: str = "payouts") -> bytes:
    return envelopes.encode(sign(KEYS[key], payload))


def withdrawal(key: str = "payouts", **changes: Any) -> Make:
    """A body with a signed withdrawal, changed beforehand: only its content is wrong."""
    return lambda world: signed(world.payload(key, tx.WithdrawalRequested, **world.withdrawal(**changes)), key)


def payload(change: Callable[[str], str]) -> Make:
    """A body whose payload's text is changed, and signed as it then is."""
    return lambda world: signed(change(text_of(world)).encode())


def text_of(world: World) -> str:
    return world.payload("payouts", tx.WithdrawalRequested, **world.withdrawal()).decode()


def wire(change: Callable[[dict[str, Any]], Any]) -> Make:
    """A body whose envelope is changed after signing."""

    def make(world: World) -> bytes:
        said = json.loads(signed(text_of(world).encode()))
        return json.dumps(change(said)).encode()

    return make


def fixed(body: bytes) -> Make:
    return lambda world: body


def said_with(world: World, **changes: Any) -> bytes:
    fields = {"ledger": world.ledger, "seq": world.sequencer.next_sequence("payouts"), **world.withdrawal(), **changes}
    return encoding.encode(tx.WithdrawalRequested(**fields))


STRANGER = SigningKey("payouts", b"\x77" * 32)
UNKNOWN = SigningKey("nobody", b"\x78" * 32)

# Refused before admission: height and root stay as they are. (body, status, code)
REFUSED: dict[str, tuple[Make, int, str]] = {
    "empty body": (fixed(b""), 400, "envelope_malformed"),
    "not JSON": (fixed(b"{"), 400, "envelope_malformed"),
    "not UTF-8": (fixed(b'{"key":"\xff","payload":"{}","signature":""}'), 400, "envelope_malformed"),
    "an array": (fixed(b"[]"), 400, "envelope_malformed"),
    "very deep nesting": (fixed(b"[" * 30_000 + b"]" * 30_000), 400, "envelope_malformed"),
    "oversized": (fixed(b" " * 65_537), 413, "envelope_too_large"),
    "unsigned": (wire(lambda e: {k: v for k, v in e.items() if k != "signature"}), 400, "envelope_malformed"),
    "empty signature": (wire(lambda e: e | {"signature": ""}), 400, "signature_malformed"),
    "url-safe base64": (wire(lambda e: e | {"signature": "-" * 86 + "=="}), 400, "signature_malformed"),
    "extra member": (wire(lambda e: e | {"note": "x"}), 400, "envelope_malformed"),
    "payload as an object": (wire(lambda e: e | {"payload": {}}), 400, "envelope_malformed"),
    "payload not an object": (wire(lambda e: e | {"payload": "[]"}), 400, "envelope_malformed"),
    "lone surrogate": (
        fixed(b'{"key":"payouts","payload":"{\\ud800}","signature":"' + b"A" * 86 + b'=="}'),
        400,
        "envelope_malformed",
    ),
    "repeated member": (
        fixed(b'{"key":"a","key":"payouts","payload":"{}","signature":""}'),
        400,
        "envelope_malformed",
    ),
    "reworded after signing": (
        wire(lambda e: e | {"payload": e["payload"].replace('"1000', '"2000')}),
        401,
        "signature_wrong",
    ),
    "signed by another": (
        lambda world: envelopes.encode(sign(STRANGER, text_of(world).encode())),
        401,
        "signature_wrong",
    ),
    "unknown key": (lambda world: envelopes.encode(sign(UNKNOWN, text_of(world).encode())), 401, "unknown_key"),
    "blanks in the payload": (payload(lambda t: t.replace(",", ", ", 1)), 400, "payload_not_canonical"),
    "other order": (
        payload(lambda t: json.dumps(dict(reversed(json.loads(t).items())), separators=(",", ":"))),
        400,
        "payload_not_canonical",
    ),
    "repeated key in the payload": (
        payload(lambda t: t.replace('"asset":"ETH"', '"asset":"ETH","asset":"ETH"')),
        400,
        "payload_not_canonical",
    ),
    "unknown field": (payload(lambda t: t.replace("{", '{"a":1,', 1)), 400, "payload_malformed"),
    "missing field": (payload(lambda t: t.replace('"asset":"ETH",', "")), 400, "payload_malformed"),
    "amount as a number": (payload(lambda t: t.replace('"1000000000000000000"', "1")), 400, "payload_malformed"),
    "NaN": (payload(lambda t: t.replace('"1000000000000000000"', "NaN")), 400, "payload_malformed"),
    "sequence as a float": (payload(lambda t: t.replace('"seq":', '"seq":1.0e')), 400, "payload_malformed"),
    "unknown type": (payload(lambda t: t.replace("withdrawal.requested", "money.printed")), 400, "unknown_type"),
    "another route's type": (
        lambda world: signed(world.payload("payouts", tx.WithdrawalCancelled, id="w-1", reason="x")),
        400,
        "type_not_here",
    ),
    "a daemon's type": (
        lambda world: signed(
            world.payload("watcher", tx.BalancesObserved, chain=ETH, position=1, balances=()), "watcher"
        ),
        400,
        "type_not_here",
    ),
    "another ledger": (lambda world: signed(said_with(world, ledger="ab" * 32)), 400, "other_ledger"),
    "no ledger": (lambda world: signed(said_with(world, ledger="")), 400, "other_ledger"),
    "sequence too far": (lambda world: signed(said_with(world, seq=5000)), 409, "sequence_too_far"),
    "sequence of another payload": (lambda world: signed(said_with(world, seq=0)), 409, "sequence_conflict"),
    "negative sequence": (lambda world: signed(said_with(world, seq=-1)), 400, "field_out_of_bounds"),
    "sequence beyond 53 bits": (lambda world: signed(said_with(world, seq=2**53)), 400, "field_out_of_bounds"),
    "amount zero": (withdrawal(amount="0"), 400, "amount_zero"),
    "amount negative": (withdrawal(amount="-5"), 400, "amount_negative"),
    "amount too large": (withdrawal(amount=str(2**127)), 400, "amount_too_large"),
    **{
        f"amount {text!r}": (withdrawal(amount=text), 400, "amount_malformed")
        for text in (
            "+5",
            "1e18",
            "1_000",
            "007",
            "\uff11\uff12",
            "\u0663",
            "0x10",
            " 5",
            "5 ",
            "1.5",
            "",
            "NaN",
            "-",
            "5\n",
        )
    },
    "malformed id": (withdrawal(id="w 1"), 400, "identifier_malformed"),
    "id too long": (withdrawal(id="w" * 65), 400, "identifier_malformed"),
    "id that looks the same": (withdrawal(id="w-\u0661"), 400, "identifier_malformed"),
    "malformed account": (withdrawal(account="../alice"), 400, "identifier_malformed"),
    "malformed asset": (withdrawal(asset="eth"), 400, "identifier_malformed"),
    "malformed chain": (withdrawal(chain="Ethereum"), 400, "identifier_malformed"),
    "recipient too long": (withdrawal(to="0x" + "a" * 600), 400, "field_out_of_bounds"),
    "malformed address": (withdrawal(to="0x12"), 422, "address_malformed"),
    "wrong checksum": (withdrawal(to="0x" + "Ab" * 20), 422, "address_checksum"),
    "a contract": (withdrawal(to="0x" + "cc" * 20), 422, "address_is_contract"),
    "off the curve": (withdrawal(to="OffCurve", chain=SOL, asset="SOL", amount="1"), 422, "address_off_curve"),
    "no token account": (withdrawal(to="NoAccount", chain=SOL, asset="SOL", amount="1"), 422, "account_absent"),
}

# The ledger's verdicts: journaled with the request, so that it can never turn into a yes; money stays where it is.
VERDICTS: dict[str, tuple[Make, int, str]] = {
    "unknown account": (withdrawal(account="mallory"), 404, "unknown_account"),
    "unknown asset": (withdrawal(asset="DOGE"), 404, "unknown_asset"),
    "unknown chain": (withdrawal(chain="dogechain"), 404, "unknown_chain"),
    "asset not on the chain": (withdrawal(chain=SOL), 422, "asset_not_on_chain"),
    "not representable": (withdrawal(asset="USDC", amount="101"), 422, "amount_not_representable"),
    "a house wallet": (withdrawal(to="0x" + "11" * 20), 422, "recipient_is_ours"),
    "insufficient balance": (withdrawal(amount=str(10**20)), 422, "insufficient_balance"),
    "a role that may not": (withdrawal("engine"), 403, "role_may_not"),
}


@pytest.mark.parametrize(("make", "status", "code"), REFUSED.values(), ids=REFUSED.keys())
@STILL
async def test_what_is_refused_leaves_no_trace(
    still: Asker, still_world: World, make: Make, status: int, code: str
) -> None:
    before = still_world.standing()
    answer = await still.send("POST", WITHDRAWALS, body=make(still_world), headers=JSON)
    assert answer.refusal == (status, code), answer.body
    assert still_world.standing() == before


@pytest.mark.parametrize(("make", "status", "code"), VERDICTS.values(), ids=VERDICTS.keys())
async def test_a_verdict_is_journaled_and_moves_nothing(
    ask: Asker, world: World, make: Make, status: int, code: str
) -> None:
    balances = list(world.books.state.balances.rows())
    height = world.replica.height
    body = make(world)
    for _ in range(2):
        answer = await ask.send("POST", WITHDRAWALS, body=body, headers=JSON)
        assert answer.refusal == (status, code), answer.body
    assert world.replica.height == height + 1, "said once, journaled once"
    assert list(world.books.state.balances.rows()) == balances
    assert len(world.books.state.withdrawals) == 0


async def test_a_revoked_key_may_say_and_read_nothing(ask: Asker, world: World) -> None:
    for admin in ("admin-1", "admin-2"):
        await world.ok(admin, tx.KeyRevoked, id="payouts")
    before = world.standing()
    answer = await ask.send("POST", WITHDRAWALS, body=withdrawal()(world), headers=JSON)
    assert answer.refusal == (401, "key_revoked")
    assert (await ask.get("/v1/sequence")).refusal == (401, "key_revoked")
    assert world.standing() == before


async def test_a_sequence_number_below_the_window_is_too_old(ask: Asker, world: World) -> None:
    far = world.sequencer.next_sequence("payouts") + 1000
    await world.ok("payouts", tx.AddressRequested, seq=far, account="alice", chain=ETH)
    await world.ok("payouts", tx.AddressRequested, seq=far + 1000, account="alice", chain=ETH)
    before = world.standing()
    body = signed(said_with(world, seq=far - 990))
    assert (await ask.send("POST", WITHDRAWALS, body=body, headers=JSON)).refusal == (409, "sequence_too_old")
    assert world.standing() == before


@pytest.mark.parametrize(
    ("path", "kind", "fields"),
    [
        ("/v1/accounts/bob/addresses", tx.AddressRequested, {"account": "alice", "chain": ETH}),
        ("/v1/withdrawals/w-2/cancel", tx.WithdrawalCancelled, {"id": "w-1", "reason": "x"}),
    ],
)
@STILL
async def test_path_and_payload_must_agree(
    still: Asker, still_world: World, path: str, kind: type[tx.Transaction], fields: dict[str, Any]
) -> None:
    before = still_world.standing()
    assert (await still.post(path, still_world.envelope("payouts", kind, **fields))).refusal == (400, "path_mismatch")
    assert still_world.standing() == before


async def test_cancelling_what_is_not_there_is_named(ask: Asker, world: World) -> None:
    said = world.envelope("payouts", tx.WithdrawalCancelled, id="w-9", reason="x")
    assert (await ask.post("/v1/withdrawals/w-9/cancel", said)).refusal == (404, "unknown_withdrawal")


HEADERS: dict[str, tuple[dict[str, str], int, str]] = {
    "no content type": ({"Content-Type": ""}, 415, "content_type_wrong"),
    "a form": ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "content_type_wrong"),
    "another charset": ({"Content-Type": "application/json; charset=utf-16"}, 415, "content_type_wrong"),
    "said to be brotli": (JSON | {"Content-Encoding": "br"}, 415, "content_encoding_refused"),
    "said to be an unknown": (JSON | {"Content-Encoding": "x-own"}, 415, "content_encoding_refused"),
}


@pytest.mark.parametrize(("headers", "status", "code"), HEADERS.values(), ids=HEADERS.keys())
@STILL
async def test_a_body_is_plain_json(
    still: Asker, still_world: World, headers: dict[str, str], status: int, code: str
) -> None:
    before = still_world.standing()
    answer = await still.send("POST", WITHDRAWALS, body=withdrawal()(still_world), headers=headers)
    assert answer.refusal == (status, code)
    assert still_world.standing() == before


@STILL
async def test_a_compressed_bomb_is_refused_and_never_unpacked(still: Asker, still_world: World) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 65_536
    answer = await still.send("POST", WITHDRAWALS, body=bomb, headers=JSON | {"Content-Encoding": "gzip"})
    assert answer.refusal == (415, "content_encoding_refused")


@STILL
async def test_a_body_without_a_length_is_cut_off_at_its_limit(still: Asker) -> None:
    """It is refused when it passes the limit, not when it ends: this one never ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(still.base.rpartition(":")[2]))
    lines = ("POST /v1/withdrawals HTTP/1.1", "Host: x", "Content-Type: application/json", "Transfer-Encoding: chunked")
    head = "\r\n".join((*lines, "", ""))
    writer.write(head.encode() + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 17)
    answer = await reader.readuntil(b"}}")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"envelope_too_large"' in answer
    writer.close()


@STILL
async def test_what_is_not_http_is_one_quiet_line(still: Asker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(still.base.rpartition(":")[2]))
    writer.write(b"GET /v1/status HTTP/1.1\r\nX: " + b"a" * 9_000 + b"\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.0 400 ")
    writer.close()
    [line] = [record for record in caplog.records if record.name == "custody.http"]
    assert (line.levelname, line.exc_info) == ("INFO", None)
    assert line.getMessage().startswith("not HTTP: ")


async def test_a_slow_body_is_cut_off(world: World) -> None:
    async with serving_clients(world, ApiLimits(body_seconds=0.01)) as base:
        port = int(base.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            "POST /v1/withdrawals HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
        )
        writer.write(head.encode() + b"{")
        answer = await reader.readuntil(b"}}")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nConnection: close\r\n" in answer
        assert b'"body_too_slow"' in answer
        writer.close()


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("DELETE", WITHDRAWALS, 405, "method_not_allowed"),
        ("PUT", "/v1/transfers", 405, "method_not_allowed"),
        ("POST", "/v1/status", 405, "method_not_allowed"),
        ("GET", "/v1/transfers", 405, "method_not_allowed"),
        ("GET", "/v1/status?x=1", 400, "query_malformed"),
        ("POST", "/v1/withdrawals?x=1", 400, "query_malformed"),
    ],
)
@STILL
async def test_paths_and_methods(still: Asker, method: str, target: str, status: int, code: str) -> None:
    answer = await still.send(method, target)
    assert answer.refusal == (status, code)
    assert ("Allow" in answer.headers) is (status == 405)


@STILL
async def test_head_is_not_a_way_round_a_signature(still: Asker) -> None:
    assert (await still.send("HEAD", "/v1/accounts/alice/balances")).status == 405


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/v1/deposits?limit=501", 400, "query_malformed"),
        ("/v1/deposits?limit=0", 400, "query_malformed"),
        ("/v1/deposits?limit=-1", 400, "query_malformed"),
        ("/v1/deposits?limit=1_0", 400, "query_malformed"),
        ("/v1/deposits?limit=%EF%BC%91", 400, "query_malformed"),
        ("/v1/deposits?after=1e3", 400, "query_malformed"),
        ("/v1/deposits?after=99999999999999999", 400, "query_malformed"),
        ("/v1/deposits?limit=1&limit=2", 400, "query_malformed"),
        ("/v1/deposits?sort=amount", 400, "query_malformed"),
        ("/v1/deposits?state=lost", 400, "query_malformed"),
        ("/v1/withdrawals?state=recorded", 400, "query_malformed"),
        ("/v1/withdrawals?account=a%20b", 400, "identifier_malformed"),
        ("/v1/withdrawals?chain=A", 400, "identifier_malformed"),
        ("/v1/events?wait=31", 400, "query_malformed"),
        ("/v1/accounts/%2E%2E/balances", 400, "identifier_malformed"),
        ("/v1/accounts/mallory/balances", 404, "unknown_account"),
        ("/v1/accounts/mallory/addresses", 404, "unknown_account"),
        ("/v1/withdrawals/w-9", 404, "unknown_withdrawal"),
    ],
)
@STILL
async def test_questions_that_make_no_sense(still: Asker, target: str, status: int, code: str) -> None:
    assert (await still.get(target)).refusal == (status, code)


async def test_a_full_queue_is_busy_and_nothing_happened(tmp_path: Path) -> None:
    world = World(tmp_path / "journal.db")  # nobody works its queue off yet
    filler = world.envelope("payouts", tx.AddressRequested, account="alice", chain=ETH)
    flood = [asyncio.ensure_future(world.sequencer.submit(filler)) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    before = world.standing()
    async with serving_clients(world) as base, aiohttp.ClientSession() as session:
        ask = Asker(base, world, session)
        answer = await ask.send("POST", WITHDRAWALS, body=withdrawal()(world), headers=JSON)
        assert answer.refusal == (503, "busy")
        assert answer.body["error"]["transient"] is True
        assert world.standing() == before
    writer = asyncio.create_task(world.sequencer.run())
    assert {receipt.code for receipt in await asyncio.gather(*flood)} == {"ok"}
    writer.cancel()
    await asyncio.wait([writer])
    world.journal.close()
