"""`python -m tools.demo`: tell the story; exit 0 only if every amount on chain and in the ledger is exactly right."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from tools.demo.paper import Paper, Wrong
from tools.demo.stage import Failed, Stage
from tools.demo.story import Story
from tools.demo.waiting import Late

SUMMARY = Path("build/demo.json")


async def main() -> int:
    """Tell it, sum up, and with KEEP=1 leave everything running until Ctrl-C."""
    paper = Paper()
    began = time.monotonic()
    async with Stage() as stage:
        story = Story(stage, paper)
        try:
            await story.tell()
        except (Wrong, Late, Failed, OSError) as exc:
            paper.console.print(f"\n[bold red]The story went wrong:[/] {exc}", highlight=False)
            for program in (stage.daemon, stage.signer):
                paper.console.print(
                    f"\nthe end of {program.name}'s log:\n{program.tail()}", highlight=False, markup=False
                )
            paper.write(SUMMARY, {"right": False, "error": str(exc)[:2000]})
            return 1
        seconds = round(time.monotonic() - began)
        paper.write(SUMMARY, {"right": True, "seconds": seconds, "withdrawals": len(story.withdrawals)})
        paper.console.print(f"\n[bold]Every amount is exactly right.[/] {seconds} s; the tables stand in {SUMMARY}")
        if os.environ.get("KEEP"):
            await _keep(stage, paper)
    return 0


async def _keep(stage: Stage, paper: Paper) -> None:
    """Everything on, and how to talk to it, until SIGINT or SIGTERM."""
    await stage.start()
    folder = stage.folder
    paper.console.print(
        f"\nEverything runs until Ctrl-C.\n"
        f"  API        {stage.api}/v1/status   ({stage.api}/v1/openapi.json describes it)\n"
        f"  operators  .venv/bin/custodyctl --socket {folder}/admin.sock --key {stage.keys}/operator.json status\n"
        f"  backend    its key is {stage.keys}/payouts.json, for custody.client\n"
        f"  Ethereum   {stage.anvil.url}\n"
        f"  Solana     {stage.solana.url}\n"
        f'  faults     POST {{"fault": "http_429"}} to {stage.proxies["ethereum"][0].url}_fault\n'
        f"  logs       {folder}/custodyd.log, {folder}/signer.log",
        highlight=False,
        markup=False,
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


async def _interruptible() -> int:
    """SIGTERM ends the story as Ctrl-C does: with the stage taken down."""
    telling = asyncio.create_task(main())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, telling.cancel)
    try:
        return await telling
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM


if __name__ == "__main__":
    sys.exit(asyncio.run(_interruptible()))
