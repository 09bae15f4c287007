"""One provider of three is out of order, in each way that providers are: nobody who uses the exchange may notice.

The real pool, the real adapter, the real controller with the numbers that a Solana chain has by default, in virtual
time; only the wire is ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from chains.devnet.solana import rpc
from chains.pool.jsonrpc import Request
from chains.pool.pool import Pool
from chains.pool.recorded import Play, RecordedTransport
from chains.pool.settings import ProviderSettings
from chains.ports import Adapter
from chains.solana.adapter import SolanaAdapter, SolanaSettings
from custody.pausemodel import PauseModel
from tests.custody.flows.fuse import Fuse, FusedUpstream
from tests.custody.flows.life import Choices
from tests.custody.flows.rig import a_world
from tests.custody.flows.sides import SolanaSide
from tests.virtualtime import run

NAMES = ("a", "b", "c")
WELL_SECONDS = 20.0
SICK_SECONDS = 300.0

Ill = Callable[[Request, Play], Play]


class PooledSide(SolanaSide):
    """The local chain behind a real pool of three providers, of which the last can fall ill."""

    def __init__(self) -> None:
        super().__init__()
        self.ill: Ill | None = None

    def adapter(self, fuse: Fuse) -> Adapter:
        wires = [
            (
                ProviderSettings(name=name, url=f"http://{name}.invalid/", requests_per_second=40.0),
                RecordedTransport(partial(self._answer, name)),
            )
            for name in NAMES
        ]
        self.pool = pool = Pool("solana", "solana", wires, clock=asyncio.get_running_loop().time)
        settings = SolanaSettings(chain=self.chain, genesis_hash=self.bank.genesis.blockhash, quorum=2)
        return SolanaAdapter(settings, FusedUpstream(pool, fuse))

    def _answer(self, name: str, request: Request) -> Play:
        body = {"jsonrpc": "2.0", "id": request.id, "method": request.method, "params": list(request.params)}
        well = Play(body=rpc.respond(self.bank, msgspec.json.encode(body)), after=0.05)
        return self.ill(request, well) if self.ill is not None and name == "c" else well


def throttling(request: Request, well: Play) -> Play:
    return Play(status=429, headers={"retry-after": "20"}, body=b"slow down", after=0.02)


def silent(request: Request, well: Play) -> Play:
    return Play(silent=True)


def busy_with_blocks(request: Request, well: Play) -> Play:
    return Play(status=503, body=b"busy", after=0.02) if request.method == "getBlock" else well


def odd_about_blocks(request: Request, well: Play) -> Play:
    return Play(error=b'{"code":-39999,"message":"?"}', after=0.02) if request.method == "getBlock" else well


def without_blocks(request: Request, well: Play) -> Play:
    return Play(result=b"null", after=0.02) if request.method == "getBlock" else well


def slow(request: Request, well: Play) -> Play:
    return msgspec.structs.replace(well, after=2.0)


def under_maintenance(request: Request, well: Play) -> Play:
    return Play(status=405, body=b"<html>back soon</html>", after=0.02)


@pytest.mark.parametrize(
    "ill", [throttling, silent, busy_with_blocks, odd_about_blocks, without_blocks, slow, under_maintenance]
)
def test_nothing_is_held(ill: Ill) -> None:
    async def story() -> None:
        side = PooledSide()
        choices = Choices(pause=PauseModel().for_family("solana"), quorum=2)
        async with a_world(side, choices=choices) as world, world.running():
            await asyncio.sleep(WELL_SECONDS)
            side.ill = ill
            held: dict[str, str] = {}
            behind: list[int] = []
            for _ in range(int(SICK_SECONDS)):
                await asyncio.sleep(1.0)
                held |= {str(hold.direction): hold.reason for _, hold in world.state.holds.rows()}
                final = side.bank.at(side.finalized).slot
                behind.append(final - world.state.cursors.need("solana").position)
            assert held == {}
            assert sorted(behind)[len(behind) // 2] <= 20, "the cursor keeps up"

    run(story())
