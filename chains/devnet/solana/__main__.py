"""`python -m chains.devnet.solana`: a chain until Ctrl-C, its addresses as one line of JSON on standard output."""

from __future__ import annotations

import asyncio
import json
import signal

import click

from chains.devnet.solana.chain import SolanaDevnet
from chains.devnet.solana.settings import Settings

_DEFAULTS = Settings()


@click.command(help=__doc__)
@click.option("--port", default=0, help="JSON-RPC port; websockets at the next one. 0 picks a free pair.")
@click.option("--seed", default=_DEFAULTS.seed, help="Determines genesis hash, faucet and minter.")
@click.option("--slot-ms", default=_DEFAULTS.slot_ms, help="Milliseconds a slot.")
@click.option("--manual", is_flag=True, help="Slots pass only by devnet_tick.")
@click.option("--first-slot", default=_DEFAULTS.first_slot, help="Slot of the genesis block.")
@click.option("--skip-every", default=_DEFAULTS.skip_every, help="Every n-th slot has no block; 0: none.")
@click.option("--confirmed-depth", default=_DEFAULTS.confirmed_depth, help="Blocks until confirmed.")
@click.option("--finalized-depth", default=_DEFAULTS.finalized_depth, help="Blocks until finalized.")
def main(port: int, **choices: object) -> None:
    """Run until a signal asks to stop."""
    try:
        settings = Settings(**choices)  # type: ignore[arg-type]  # click has checked each against its option's type
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    asyncio.run(_run(settings, port))


async def _run(settings: Settings, port: int) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with SolanaDevnet(settings, port=port) as chain:
        facts = {
            "url": chain.url,
            "ws_url": chain.ws_url,
            "genesis_hash": chain.genesis_hash,
            "faucet": str(chain.bank.genesis.faucet.pubkey()),
        }
        click.echo(json.dumps(facts))
        await chain.serve_until(stop)


if __name__ == "__main__":
    main()
