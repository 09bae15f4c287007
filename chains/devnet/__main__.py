"""`python -m chains.devnet` (`make devnet`): both local chains behind a fault proxy each, until Ctrl-C.

One line of JSON on standard output says where everything is; an operator can rehearse against it by hand, or by a
script of faults (`chains.devnet.faults.script`). `python -m chains.devnet.faults --list` tells every fault's fields.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import click

from chains.devnet.anvil import Anvil, DevnetMissing
from chains.devnet.faultproxy import FaultProxy
from chains.devnet.faults.catalogue import described
from chains.devnet.solana.chain import SolanaDevnet
from chains.devnet.solana.settings import Settings


@click.command(help=__doc__)
@click.option("--block-time", default=1, show_default=True, help="Seconds between Ethereum blocks.")
@click.option("--slot-ms", default=Settings().slot_ms, show_default=True, help="Milliseconds a Solana slot.")
def main(block_time: int, slot_ms: int) -> None:
    """Run until a signal asks to stop."""
    try:
        asyncio.run(_run(block_time, slot_ms))
    except DevnetMissing as exc:
        click.echo(str(exc), err=True)
        sys.exit(1)


async def _run(block_time: int, slot_ms: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Anvil(block_time=block_time) as anvil, SolanaDevnet(Settings(slot_ms=slot_ms)) as solana:
        usdc = await anvil.deploy_token("USDC", 6)
        mint = await solana.create_mint(6)
        async with FaultProxy(anvil.url) as first, FaultProxy(solana.url) as second:
            facts = {
                "ethereum": {
                    "url": first.url,
                    "node": anvil.url,
                    "chain_id": anvil.chain_id,
                    "faucet": anvil.faucet,
                    "usdc": usdc,
                },
                "solana": {
                    "url": second.url,
                    "node": solana.url,
                    "websocket": solana.ws_url,
                    "genesis_hash": solana.genesis_hash,
                    "usdc": mint,
                },
                "faults": {
                    "one": 'POST {"fault": NAME, FIELDS} to <url>_fault; GET shows what is on',
                    "script": 'POST {"steps": [{"at": SECONDS, "fault": NAME, FIELDS}, MORE]} to <url>_script',
                    "names": [name for name, _, _ in described()],
                },
            }
            click.echo(json.dumps(facts))
            await stop.wait()


if __name__ == "__main__":
    main()
