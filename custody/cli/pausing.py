"""pause, resume, holds, brake: stopping needs no key and no question, going on needs both."""

from __future__ import annotations

import re
import secrets
from typing import Any

import click

from custody.cli.admin import ask, target
from custody.cli.context import Exit, Options, confirm, fail
from custody.cli.output import moment, say, scope_of, show, show_json, show_table

DIRECTIONS = ("deposits", "withdrawals", "both", "transfers", "all")
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Duration(click.ParamType[int]):
    """`30m`, `2h`, `90s`, `7d` as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Seconds, or a usage error."""
        if isinstance(value, int):
            return value
        found = _DURATION.fullmatch(value)
        if found is None:
            self.fail(f"{value!r} is not a duration such as 30m, 2h or 7d", param, ctx)
        return int(found[1]) * _SECONDS[found[2]]


@click.command(short_help="Stop something, at once, without a key.")
@click.option("--chain", default="", help="Only on this chain.")
@click.option("--asset", default="", help="Only this asset.")
@click.option("--account", default="", help="Only this account.")
@click.option("--direction", type=click.Choice(DIRECTIONS), default="all", show_default=True)
@click.option("--for", "seconds", type=Duration(), default=0, help="Until then; otherwise until somebody resumes.")
@click.option("--reason", required=True, help="Why, for whoever looks next.")
@click.pass_obj
def pause(options: Options, chain: str, asset: str, account: str, direction: str, seconds: int, reason: str) -> None:
    """Set a hold. Deposits go on being recorded and wait; withdrawals go on being accepted and wait; what is in flight
    is followed to its end."""
    asked = {
        "hold": f"op-{secrets.token_hex(8)}",
        "chain": chain,
        "asset": asset,
        "account": account,
        "direction": direction,
        "reason": reason,
        "seconds": seconds,
    }
    answer = ask(options.socket, "POST", "/admin/pause", asked)
    show(options, answer, f"paused: {answer['hold']} (block {answer['height']})")


@click.command(short_help="Lift a hold, with an operator's signature.")
@click.argument("hold_id", required=False, default="")
@click.option("--chain", default="", help="Every operator's hold on this chain.")
@click.option("--asset", default="", help="Every operator's hold on this asset.")
@click.option("--direction", type=click.Choice(DIRECTIONS), default=None, help="Every operator's hold this way.")
@click.option("--reason", required=True, help="Why it is safe again.")
@click.pass_obj
def resume(options: Options, hold_id: str, chain: str, asset: str, direction: str | None, reason: str) -> None:
    """Lift one hold by its id, or all that operators set with exactly this scope. Holds of automatic causes are lifted
    by id only."""
    if bool(hold_id) == bool(chain or asset or direction):
        fail(Exit.USAGE, "say either HOLD_ID or --chain, --asset, --direction")
    standing = ask(options.socket, "GET", "/admin/holds")["holds"]
    chosen = [hold for hold in standing if _matches(hold, hold_id, chain, asset, direction)]
    if not chosen:
        fail(Exit.REFUSED, f"no such hold stands: {hold_id or 'with this scope'}")
    if not options.yes:
        for hold in chosen:
            what = scope_of(hold) if hold["provider"] else f"{hold['direction']} of {scope_of(hold)}"
            say(f"{hold['id']}: {what}, {hold['actor']}: {hold['reason']}", err=True)
    confirm(options, f"Lift {len(chosen)} hold(s)?")
    lifted = []
    from custody.cli.signed import submit_signed  # lazy: signing is not for pausing

    for hold in chosen:
        submit_signed(options, "hold.lifted", hold=hold["id"], reason=reason, actor="")
        lifted.append(hold["id"])
    show(options, {"lifted": lifted}, f"resumed: {', '.join(lifted)}")


def _matches(hold: dict[str, Any], hold_id: str, chain: str, asset: str, direction: str | None) -> bool:
    if hold_id:
        return bool(hold["id"] == hold_id)
    return bool(
        hold["cause"] == "pause"
        and not hold["account"]
        and (hold["chain"], hold["asset"]) == (chain, asset)
        and direction in (None, hold["direction"])
    )


@click.command(short_help="What is on hold, and why.")
@click.option("--history", is_flag=True, help="Past holds too, the newest first.")
@click.pass_obj
def holds(options: Options, history: bool) -> None:
    """List holds with who set them and since when."""
    answer = ask(options.socket, "GET", target("/admin/holds", history="1" if history else ""))
    if options.json:
        show_json(answer)
        return
    columns = ["id", "scope", "direction", "origin", "reason", "actor", "since", "until"]
    rows = [
        [
            row["id"],
            scope_of(row),
            "-" if row["provider"] else row["direction"],
            row["origin"] if row["origin"] == "operator" else f"auto:{row['cause']}",
            row["reason"],
            row["actor"],
            moment(row["since"]),
            moment(row["until"]),
        ]
        for row in answer["holds"]
    ]
    if history:
        columns += ["lifted", "by", "because"]
        for shown, row in zip(rows, answer["holds"], strict=True):
            shown += [moment(row["lifted"]), row["lifted_by"], row["lifted_reason"]]
    show_table("holds", columns, rows)


@click.command(short_help="Stop signing and sending, journal or not.")
@click.argument("act", required=False, type=click.Choice(["release"]), default=None)
@click.option("--reason", default="", help="Why.")
@click.pass_obj
def brake(options: Options, act: str | None, reason: str) -> None:
    """Pull the brake, or release it. Pulling needs nothing at all; releasing is recorded first and wants an operator's
    signature."""
    if act is None:
        latch = ask(options.socket, "POST", "/admin/brake", {"reason": reason or "pulled by hand"})
        show(options, latch, f"the brake is on since {moment(latch['since'])}: {latch['reason']}")
        return
    if not reason:
        fail(Exit.USAGE, "releasing the brake wants a --reason")
    standing = [row for row in ask(options.socket, "GET", "/admin/holds")["holds"] if row["cause"] == "brake"]
    confirm(options, "Release the brake?")
    answer: Any = None
    from custody.cli.signed import operator_envelope  # lazy: signing is not for pulling the brake

    for row in standing or [None]:
        envelope = b""
        if row is not None:
            envelope = operator_envelope(options, "hold.lifted", hold=row["id"], reason=reason, actor="")
        asked = {"envelope": envelope.decode(), "reason": reason}
        answer = ask(options.socket, "POST", "/admin/brake/release", asked)
    show(options, answer, "the brake is released")
