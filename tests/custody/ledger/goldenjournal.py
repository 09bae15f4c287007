"""A small journal in which every kind of transaction and every way to end occurs, always the same to the byte.

`golden/journal.txt` is how it was written on the day the format was pinned: a line a block, with its hash, its state
root, and its bytes in hex. A journal written then must stay readable for ever, so a test that fails against it says
that old journals can no longer be re-executed. As long as no journal has been released, the format may still be changed
on purpose: then, and only then, write the file anew with

    python -m tests.custody.ledger.goldenjournal

and say in the change log why.
"""

from __future__ import annotations

from pathlib import Path

from custody.execution import Executed
from custody.journal import block as blocks
from custody.ledger import transactions as tx
from custody.ledger.roles import Role
from tests.custody.ledger.world import BSC, CAPS, DAY, ETH, NATIVE, SOL, TOKEN, World, key, movement

GOLDEN = Path(__file__).parent / "golden" / "journal.txt"


def journal() -> list[Executed]:
    """The blocks, built anew by today's code."""
    world = World(parameters=(*CAPS, tx.ParameterRow(name="attempts", scope=ETH, value="2")))
    for chain in (ETH, SOL):
        world.attest(chain, f"hot@{chain}")
        for account in ("alice", "bob"):
            world.user(account, chain)
        for token in (NATIVE, TOKEN[chain]):
            world.pay_in("alice", chain, token, 10**6)
        world.fund(chain, NATIVE, 10**6)
    world.pay_in("bob", ETH, TOKEN[ETH], 3)
    world.hold("pause-1", chain=SOL, direction="deposits", until=world.now + DAY)
    world.pay_in("bob", SOL, TOKEN[SOL], 500)
    world.now += DAY
    world.lift("pause-1", by="relay")

    world.parameter("approval_above", "USDC", 5 * 10**14)
    world.request("eth-1")
    world.request("eth-2", amount=str(10**15))
    world.request("eth-3")
    world.request("own", to=f"bob@{ETH}")
    world.request("too-much", "bob", amount=str(10**17))
    world.request("called-off", asset="ETH", amount="5")
    world.ok("operator", tx.WithdrawalApproved, id="eth-2")
    world.ok("payouts", tx.WithdrawalCancelled, id="called-off", reason="")
    first = world.prepare(ETH, world.payment("eth-1"))
    world.sign(first)
    second = world.prepare(ETH, world.payment("eth-1"), nonce=0, excludes=(first,))
    world.land(second)
    failing = world.prepare(ETH, world.payment("eth-2"))
    world.land(failing, succeeded=False)
    filled = world.prepare(ETH, world.payment("eth-3"))
    world.land(world.prepare(ETH, nonce=2, excludes=(filled,)))

    world.request("sol-1", asset="SOL", chain=SOL, amount="70")
    dead = world.prepare(SOL, world.payment("sol-1"))
    world.advance(SOL, 182)
    world.evidence(dead, "one", "two")
    world.land(world.prepare(SOL, world.payment("sol-1"), rent_cap="50"))

    legs = (tx.TransferLeg(source="alice", target="bob", asset="ETH", amount="9"),)
    world.ok("engine", tx.TransferBatch, id="batch-1", legs=legs)
    at = world.state.cursors.need(ETH).position
    for raw in (1, 10**9):
        row = tx.ObservedBalance(address=f"hot@{ETH}", token=NATIVE, amount=str(raw))
        world.ok("watcher", tx.BalancesObserved, chain=ETH, position=at, balances=(row,))
    world.scan(ETH, movements=[movement("stolen", f"hot@{ETH}", NATIVE, -5)])
    world.admins(tx.KeyRegistered, id="new", public=key("new").public.hex(), roles=(Role.WATCHER, Role.RELAY))
    world.admins(tx.KeyRotated, id="new", public=key("new", "2").public.hex())
    world.admins(tx.KeyRevoked, id="new")
    item = tx.Representation(chain=BSC, token="0xNEW", decimals=6, program="", minimum="1")
    world.admins(tx.AssetSet, asset="NEW", decimals=6, representations=(item,))
    world.admins(tx.ChainSet, chain="later", family="evm", identity="9", decoder=1, position=1, height=1, hash="start")
    return world.executed


def lines(executed: list[Executed]) -> list[str]:
    """As the file has them."""
    return [f"{item.link.hash} {item.block.header.root} {blocks.encode(item.block).hex()}" for item in executed]


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(lines(journal())) + "\n")
