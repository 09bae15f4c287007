"""Every command against a real ledger: what it does, what it says, and the code it ends with."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from custody.api.serving import SocketTaken, serve_socket
from custody.cli.admin import call
from custody.custodyctl import COMMANDS
from custody.envelope import envelopes
from custody.envelope.keyfile import create_key_file
from custody.ledger import transactions as tx
from tests.custody.api.rig import ETH, KEYS, SOL, World, a_pause, address_of
from tests.custody.cli.rig import Ctl

ME = f"uid:{os.getuid()}"


async def test_pause_asks_nothing_needs_no_key_and_names_the_uid(ctl: Ctl, world: World, tmp_path: Path) -> None:
    keyless = replace(ctl, key=tmp_path / "absent.json")
    said = await keyless(
        *("pause", "--chain", SOL, "--direction", "deposits", "--for", "30m", "--reason", "node upgrade")
    )
    assert said.code == 0, said
    [(key, hold)] = world.books.state.holds.rows()
    assert said.out == f"paused: {key[0]} (block {world.replica.height})\n"
    assert (hold.chain, hold.direction, hold.reason, hold.actor) == (SOL, "deposits", "node upgrade", ME)
    assert (hold.origin, hold.cause) == ("operator", "pause")
    assert 0 <= world.now - (hold.until - 1_800_000) < 1_000


async def test_pausing_everything_is_one_word(ctl: Ctl, world: World) -> None:
    answer = await ctl.json("pause", "--reason", "look")
    [(key, hold)] = world.books.state.holds.rows()
    assert answer["hold"] == key[0]
    assert (hold.chain, hold.asset, hold.account, hold.direction, hold.until) == ("", "", "", "all", 0)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("pause",), "--reason"),
        (("pause", "--reason", "x", "--for", "soon"), "not a duration"),
        (("pause", "--reason", "x", "--for", "0m"), "not a duration"),
        (("pause", "--reason", "x", "--direction", "sideways"), "sideways"),
        (("resume", "--reason", "x"), "HOLD_ID"),
        (("resume", "h-1", "--chain", SOL, "--reason", "x"), "HOLD_ID"),
        (("brake", "release"), "--reason"),
        (("withdrawals", "list", "--state", "lost"), "lost"),
        (("dance",), "dance"),
        (("-o", "xml", "status"), "xml"),
    ],
)
async def test_wrong_usage_is_two(ctl: Ctl, words: tuple[str, ...], why: str) -> None:
    said = await ctl(*words)
    assert said.code == 2, said
    assert why in said.err
    assert said.out == ""


async def test_resume_asks_and_signs_with_the_operators_own_key(ctl: Ctl, world: World) -> None:
    await world.hands.hold(a_pause("h-1", chain=SOL))
    declined = await ctl("resume", "h-1", "--reason", "fine", answer="n\n")
    assert (declined.code, declined.out) == (3, "")
    assert "uid:1000" in declined.err, "who paused is shown before one is asked"
    assert len(world.books.state.holds) == 1
    nobody_there = await ctl("resume", "h-1", "--reason", "fine")
    assert nobody_there.code == 3
    said = await ctl("resume", "h-1", "--reason", "fine", answer="y\n")
    assert (said.code, said.out) == (0, "resumed: h-1\n")
    assert len(world.books.state.holds) == 0
    [record] = world.history.holds(10)
    assert (record.lifted_by, record.lifted_reason) == ("operator", "fine")


async def test_resume_by_scope_lifts_what_operators_set_with_exactly_that_scope(ctl: Ctl, world: World) -> None:
    await world.hands.hold(a_pause("h-1", chain=SOL, direction="deposits"))
    await world.hands.hold(a_pause("h-2", chain=SOL, direction="all"))
    await world.hands.hold(a_pause("h-3", chain=ETH))
    await world.hands.hold(a_pause("h-4", chain=SOL, asset="SOL"))
    await world.ok(
        "relay", tx.HoldSet, hold="auto-1", chain=SOL, asset="", account="", wallet="", provider="", direction="both",
        origin="auto", cause="provider", reason="nobody answers", actor="auto", until=0,
    )  # fmt: skip
    one = await ctl.json("--yes", "resume", "--chain", SOL, "--direction", "deposits", "--reason", "x")
    assert one["lifted"] == ["h-1"]
    other = await ctl.json("--yes", "resume", "--chain", SOL, "--reason", "x")
    assert other["lifted"] == ["h-2"]
    none = await ctl("--yes", "resume", "--chain", SOL, "--reason", "x")
    assert (none.code, "no such hold" in none.err) == (3, True)
    assert [key[0] for key, _ in world.books.state.holds.rows()] == ["auto-1", "h-3", "h-4"]


async def test_an_act_that_wants_another_key_is_five(ctl: Ctl, world: World, tmp_path: Path) -> None:
    await world.hands.hold(a_pause("h-1"))
    payouts = tmp_path / "payouts.json"
    create_key_file(payouts, KEYS["payouts"])
    said = await replace(ctl, key=payouts)("--yes", "resume", "h-1", "--reason", "x")
    assert said.code == 5
    assert "role_may_not" in said.err


async def test_a_missing_key_file_is_configuration(ctl: Ctl, world: World, tmp_path: Path) -> None:
    await world.hands.hold(a_pause("h-1"))
    said = await replace(ctl, key=tmp_path / "absent.json")("--yes", "resume", "h-1", "--reason", "x")
    assert said.code == 78
    assert "absent.json" in said.err
    assert "--key" in said.err


async def test_nobody_at_the_socket_is_four(ctl: Ctl, tmp_path: Path) -> None:
    said = await replace(ctl, socket=tmp_path / "nobody.sock")("pause", "--reason", "x")
    assert said.code == 4
    assert "is custodyd running" in said.err
    waited = await replace(ctl, socket=tmp_path / "nobody.sock")("--wait", "0", "status")
    assert waited.code == 4


async def test_holds_with_their_history(ctl: Ctl, world: World) -> None:
    await world.hands.hold(a_pause("h-1", reason="first"))
    await world.ok("operator", tx.HoldLifted, hold="h-1", reason="done", actor="operator")
    await world.hands.hold(a_pause("h-2", account="alice", reason="second"))
    standing = await ctl.json("holds")
    assert [(hold["id"], hold["account"], hold["lifted"]) for hold in standing["holds"]] == [("h-2", "alice", 0)]
    everything = await ctl.json("holds", "--history")
    told = [(hold["id"], hold["lifted_by"], hold["lifted_reason"]) for hold in everything["holds"]]
    assert told == [("h-2", "", ""), ("h-1", "operator", "done")]
    table = await ctl("holds", "--history")
    assert "second" in table.out
    assert "done" in table.out


async def test_the_brake_needs_nothing_to_pull_and_a_signature_to_release(
    ctl: Ctl, world: World, tmp_path: Path
) -> None:
    keyless = replace(ctl, key=tmp_path / "absent.json")
    assert (await ctl("--yes", "brake", "release", "--reason", "x")).code == 3, "there is nothing to release"
    pulled = await keyless("brake", "--reason", "strange")
    assert (pulled.code, "strange" in pulled.out) == (0, True)
    assert world.hands.latch is not None
    assert world.hands.latch.actor == ME
    assert (await keyless("--yes", "brake", "release", "--reason", "x")).code == 78
    bare = {"envelope": "", "reason": "x"}
    assert (await post(ctl, "/admin/brake/release", bare)) == (403, "needs_signature")
    [(key, _)] = world.books.state.holds.rows()
    by_the_other_way = await ctl("--yes", "resume", str(key[0]), "--reason", "x")
    assert (by_the_other_way.code, "type_not_here" in by_the_other_way.err) == (3, True)
    assert world.hands.latch is not None
    assert (await ctl("--yes", "brake", "release", "--reason", "looked at")).code == 0
    assert world.hands.latched() is None
    assert len(world.books.state.holds) == 0


async def test_a_brake_that_is_not_recorded_is_not_released(ctl: Ctl, world: World) -> None:
    world.hands.journal_works = False
    await ctl("brake", "--reason", "the disk is full")
    said = await ctl("--yes", "brake", "release", "--reason", "x")
    assert (said.code, "brake_not_recorded" in said.err) == (3, True)
    assert world.hands.latch is not None


async def post(ctl: Ctl, target: str, body: object) -> tuple[int, str]:
    """A request to the operators' API that no command makes."""
    status, answer = await asyncio.to_thread(call, ctl.socket, "POST", target, json.dumps(body).encode())
    return status, answer["error"]["code"] if "error" in answer else ""


async def test_status_tells_what_is_paused_and_why(ctl: Ctl, world: World) -> None:
    await world.hands.hold(a_pause("h-1", chain=SOL, reason="node \x1b[31mupgrade"))
    world.hands.journal_works = False
    await world.hands.pull(actor="uid:0", reason="strange")
    answer = await ctl.json("status")
    assert (answer["height"], answer["ledger"]) == (world.replica.height, world.ledger)
    assert [hold["id"] for hold in answer["holds"]] == ["h-1"]
    assert [latch["cause"] for latch in answer["latches"]] == ["brake"]
    assert {row["chain"] for row in answer["chains"]} == {ETH, SOL}
    said = await ctl("status")
    assert said.code == 0
    assert "STOPPED by brake" in said.out
    assert "h-1" in said.out


async def test_waiting_for_readiness_runs_out(ctl: Ctl, world: World) -> None:
    world.ready = False
    assert (await ctl("status")).code == 0
    said = await ctl("--wait", "0", "status")
    assert (said.code, said.out) == (6, "")
    world.ready = True
    assert (await ctl("--wait", "0", "status")).code == 0


async def test_a_big_withdrawal_is_shown_approved_and_cancelled(ctl: Ctl, world: World) -> None:
    big = str(6 * 10**18)
    await world.ok("payouts", tx.WithdrawalRequested, **world.withdrawal(amount=big))
    listed = await ctl.json("withdrawals", "list", "--state", "awaiting_approval")
    assert [(row["id"], row["amount"]["decimal"]) for row in listed["withdrawals"]] == [("w-1", "6")]
    declined = await ctl("withdrawals", "approve", "w-1", answer="n\n")
    assert (declined.code, "6 ETH of alice" in declined.err) == (3, True)
    approved = await ctl.json("--yes", "withdrawals", "approve", "w-1")
    assert approved["state"] == "queued"
    assert world.books.state.withdrawals.need("w-1").reason == "approved by operator"
    again = await ctl("--yes", "withdrawals", "approve", "w-1")
    assert (again.code, "withdrawal_not_waiting" in again.err) == (3, True)
    assert (await ctl("--wait", "0", "withdrawals", "show", "w-1")).code == 6
    cancelled = await ctl.json("--yes", "withdrawals", "cancel", "w-1", "--reason", "by request")
    assert (cancelled["state"], cancelled["reason"]) == ("cancelled", "by request")
    assert (await ctl("--wait", "0", "withdrawals", "show", "w-1")).code == 0
    assert (await ctl.json("withdrawals", "list"))["withdrawals"] == []
    of_alice = await ctl.json("withdrawals", "list", "--account", "alice")
    assert [row["id"] for row in of_alice["withdrawals"]] == ["w-1"]
    missing = await ctl("withdrawals", "show", "w-9")
    assert (missing.code, "unknown_withdrawal" in missing.err) == (3, True)


async def test_deposits_are_listed_and_shown_slashes_and_all(ctl: Ctl, world: World) -> None:
    name = await world.deposit("alice", "USDC", 2_000_000, tx_name="0xfeed")
    listed = await ctl.json("deposits", "list", "--account", "alice")
    assert name in [row["id"] for row in listed["deposits"]]
    assert (await ctl.json("deposits", "show", name))["amount"]["decimal"] == "2"
    paged = await ctl("deposits", "list", "--limit", "1")
    assert (paged.code, paged.err) == (0, "more: --after 1\n")
    assert "2 USDC" in (await ctl("deposits", "show", name)).out


async def test_an_account_shows_everything_its_owner_may_ask_about(ctl: Ctl, world: World) -> None:
    await world.ok("payouts", tx.WithdrawalRequested, **world.withdrawal())
    await world.hands.hold(a_pause("h-1", account="alice", reason="phone lost"))
    answer = await ctl.json("accounts", "show", "alice")
    assert answer["balances"][0]["held"]["decimal"] == "1"
    assert {row["address"] for row in answer["addresses"]} == {address_of("alice", ETH), address_of("alice", SOL)}
    assert [row["id"] for row in answer["withdrawals"]] == ["w-1"]
    assert [row["id"] for row in answer["holds"]] == ["h-1"]
    table = await ctl("accounts", "show", "alice")
    assert (table.code, "phone lost" in table.out) == (0, True)
    assert (await ctl("accounts", "show", "mallory")).code == 3


async def test_wallets_are_the_houses_addresses_and_sums_by_tier(ctl: Ctl, world: World) -> None:
    answer = await ctl.json("wallets")
    assert {(row["chain"], row["tier"]) for row in answer["wallets"]} == {(ETH, "hot"), (SOL, "hot")}
    sums = {(row["chain"], row["asset"], row["tier"]): row["amount"]["decimal"] for row in answer["tiers"]}
    assert sums == {(ETH, "ETH", "deposit"): "10"}
    assert (await ctl("wallets")).code == 0


async def test_providers_and_reconciliation_are_shown(ctl: Ctl, world: World) -> None:
    assert (await ctl.json("providers"))["providers"] == []
    assert (await ctl("providers")).out == "providers: none\n"
    answer = await ctl.json("reconcile")
    assert (answer["agreed"], answer["rows"][0]["result"]) == (True, "equal")
    assert (await ctl("reconcile", "--chain", "dogechain")).code == 3


async def test_admins_say_the_same_and_the_first_voice_is_only_counted(ctl: Ctl, world: World) -> None:
    said = {"name": "approval_above", "scope": "ETH", "value": "7"}
    codes = []
    for admin in ("admin-1", "admin-2"):
        body = json.loads(envelopes.encode(world.envelope(admin, tx.ParameterSet, **said)))
        codes.append((await post(ctl, "/admin/envelope", body))[0])
    assert codes == [202, 200]
    assert world.books.state.parameter("approval_above", "ETH") == 7


async def test_what_clients_and_daemons_sign_has_no_way_in_here(ctl: Ctl, world: World) -> None:
    before = world.standing()
    body = json.loads(envelopes.encode(world.envelope("payouts", tx.WithdrawalRequested, **world.withdrawal())))
    assert await post(ctl, "/admin/envelope", body) == (400, "type_not_here")
    assert world.standing() == before


@pytest.mark.parametrize(
    ("target", "body", "refusal"),
    [
        ("/admin/pause", {"hold": "h"}, (400, "body_malformed")),
        ("/admin/pause", [], (400, "body_malformed")),
        ("/admin/brake", {"reason": " "}, (400, "field_out_of_bounds")),
        ("/admin/brake", {"reason": "x", "force": True}, (400, "body_malformed")),
        ("/admin/nothing", {}, (404, "not_found")),
        ("/admin/status", {}, (405, "method_not_allowed")),
    ],
)
async def test_the_socket_takes_only_what_it_knows(
    ctl: Ctl, world: World, target: str, body: object, refusal: tuple[int, str]
) -> None:
    before = world.standing()
    assert await post(ctl, target, body) == refusal
    assert world.standing() == before


async def test_the_socket_is_for_owner_and_group(ctl: Ctl) -> None:
    assert stat.S_IMODE(ctl.socket.stat().st_mode) == 0o660


async def test_a_file_in_the_sockets_place_is_not_removed(tmp_path: Path, world: World) -> None:
    place = tmp_path / "precious"
    place.write_text("data")
    with pytest.raises(SocketTaken):
        await serve_socket(web.Application(), place)
    assert place.read_text() == "data"


async def test_help_knows_every_command(ctl: Ctl) -> None:
    said = await ctl("--help")
    assert said.code == 0
    assert all(f"  {name} " in said.out for name in COMMANDS)
