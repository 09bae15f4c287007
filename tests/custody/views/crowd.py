"""A daemon as large as its metrics promise to stay small for: real ledger, real pools, and everything has happened.

Eight chains, thirty listings of assets, sixteen providers a chain, each under a name of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chains.observations import NATIVE
from chains.pool.calls import Priority
from chains.pool.classify import Kind
from chains.pool.events import PoolEvents
from chains.pool.methods import MethodClass
from chains.pool.pool import Pool
from chains.pool.recorded import RecordedTransport, by_method
from chains.pool.settings import ProviderSettings
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import sign
from custody.execution import Executed, Replica
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.ledger.roles import Role
from custody.telemetry import Metrics
from custody.views.books import Books
from custody.views.facts import ChainFacts, Facts, PauseFacts
from custody.views.tallies import Tallies

CHAINS = tuple(f"chain-{number}" for number in range(8))
PROVIDERS = 16
LISTINGS = tuple((f"COIN{number}", CHAINS[number % len(CHAINS)]) for number in range(30))
"""(asset, chain); the first of a chain is its own coin."""
STATES = 3 * len(CHAINS)
"""Series that only real payments reach: withdrawals in an attempt, the oldest of these, and those that failed."""
STRANGER = "0x" + "ee" * 20
RESULTS = (*(str(kind) for kind in Kind), "cancelled")

_ROLES = (
    Role.WATCHER, Role.SIGNER, Role.SEQUENCER, Role.RELAY, Role.PAYOUTS, Role.ADMIN
)  # fmt: skip
_KEYS = {role: SigningKey(role.value, bytes([place + 1]) * 32) for place, role in enumerate(_ROLES)}
_OTHER_ADMIN = SigningKey("admin-2", b"\x77" * 32)


class Crowd:
    """`metrics` has followed every block; `facts` reads the pools anew each time, `now` by their clock."""

    def __init__(self, providers: int = PROVIDERS) -> None:
        self.now = 0.0
        self.pools = {chain: self._pool(chain, providers) for chain in CHAINS}
        self.books = Books()
        self.tallies = Tallies(self.books)
        self.metrics = Metrics(self.books, self.tallies, self.facts)
        self._replica = Replica()
        for executed in self._history():
            for view in (self.books, self.tallies, self.metrics):
                view.published(executed)
        for chain in CHAINS:
            self.metrics.reorganised(chain)
        self.metrics.appended(0.004)

    def _pool(self, chain: str, providers: int) -> Pool:
        named = [
            ProviderSettings(name=f"{chain}-{number}", url=f"https://{chain}-{number}.example", requests_per_second=25)
            for number in range(providers)
        ]
        pool = Pool(chain, "evm", [(each, RecordedTransport(by_method({}))) for each in named], clock=lambda: self.now)
        for each in named:
            pool.report_heights(each.name, latest=120, finalized=100)
        return pool

    def hear(self, observer: PoolEvents | None = None) -> None:
        """Every provider gives every answer to every kind of request, and every class is shed."""
        told = observer or self.metrics.pools
        for chain, pool in self.pools.items():
            for provider in pool.providers():
                for kind in MethodClass:
                    for result in RESULTS:
                        told.request_finished(chain, provider, kind, result, 0.1)
            for priority in Priority:
                told.shed(chain, priority, "crowded")

    def facts(self) -> Facts:
        """As the daemon gathers them."""
        return Facts(
            version="0", started=0, ready=True, waiting_for="", latches=(), chains=tuple(map(self._chain, CHAINS))
        )

    def _chain(self, chain: str) -> ChainFacts:
        pool = self.pools[chain]
        pauses = (
            PauseFacts(
                direction=direction, state="PAUSED", since=0, cause="provider", reason="a test", queue_age_seconds=1.0,
                estimate_seconds=None,
            )
            for direction in ("deposits", "withdrawals")
        )  # fmt: skip
        return ChainFacts(
            chain=chain,
            cursor_time=1,
            providers=pool.health(self.now),
            queue=tuple((priority.name.lower(), calls) for priority, calls in pool.queue_depths().items()),
            quorum=2,
            pauses=tuple(pauses),
        )

    # --- the ledger's history, a block a sentence

    def _history(self) -> Iterator[Executed]:
        founding = sign(_KEYS[Role.ADMIN], encoding.encode(_genesis()))
        founded = self._replica.found(founding, _KEYS[Role.SEQUENCER], now=1_000)
        assert isinstance(founded, Executed), founded
        yield founded
        for number, chain in enumerate(CHAINS):
            for tier, account in (("hot", ""), ("gas", ""), ("deposit", "alice"), ("deposit", "bob")):
                if account:
                    yield self._say(Role.PAYOUTS, tx.AddressRequested, account=account, chain=chain)
                address = f"{tier}-{account}"
                index = self._replica.state.slots.need(account, chain).index if account else 0
                yield self._say(
                    Role.SIGNER, tx.AddressAttested, chain=chain, tier=tier, account=account, index=index,
                    address=address,
                )  # fmt: skip
                watched = self._replica.state.addresses.need(chain, address).order
                yield self._say(Role.WATCHER, tx.AddressAssigned, chain=chain, address=address, watched=watched)
            yield self._scan(chain)
            yield self._agree(chain)
            for place, (to, amount) in enumerate(((STRANGER, "5"), (STRANGER, "500"), ("deposit-bob", "5"))):
                yield self._withdraw(chain, f"w-{number}-{place}", to, amount)
            yield self._say(Role.PAYOUTS, tx.WithdrawalCancelled, id=f"w-{number}-0", reason="a test")
            yield self._withdraw(chain, f"w-{number}-9", STRANGER, "5")
            for direction in ("deposits", "withdrawals", "both"):
                yield self._hold(chain, direction)

    def _say(self, role: Role, kind: type[tx.Transaction], **fields: object) -> Executed:
        state, key = self._replica.state, _KEYS[role]
        window = state.windows.get(key.id)
        named: dict[str, Any] = {"ledger": state.ledger, "seq": 0 if window is None else window.high + 1, **fields}
        draft = self._replica.begin(now=2_000)
        taken = draft.take(sign(key, encoding.encode(kind(**named))))
        assert getattr(taken, "code", "") == "ok", (kind, fields, taken)
        return self._replica.seal(draft, _KEYS[Role.SEQUENCER])

    def _scan(self, chain: str) -> Executed:
        """To each address of each asset: what is worth crediting; and to the user what is below the minimum."""
        state = self._replica.state
        row, cursor = state.chains.need(chain), state.cursors.need(chain)
        deposits = [
            tx.ScannedDeposit(
                tx=f"t{chain}", ordinal=f"{asset}/{address}/{amount}", position=1, address=address,
                token=_token(asset, chain), amount=amount,
            )
            for asset, where in LISTINGS
            if where == chain
            for address, amount in (("deposit-alice", "1000000"), ("deposit-alice", "1"))
        ]  # fmt: skip
        movements = [
            tx.ScannedMovement(
                tx=f"t{chain}", ordinal=f"{asset}/{address}", position=1, address=address,
                token=_token(asset, chain), delta="7",
            )
            for asset, where in LISTINGS
            if where == chain
            for address in ("hot-", "gas-")
        ]  # fmt: skip
        return self._say(
            Role.WATCHER, tx.ChainScanned, chain=chain, first=1, last=1, parent=cursor.hash,
            blocks=(tx.ScannedBlock(position=1, height=1, hash="h1"),), deposits=tuple(deposits),
            movements=tuple(movements), outcomes=(), decoder=row.decoder, tokens=row.tokens, watched=row.watched,
        )  # fmt: skip

    def _agree(self, chain: str) -> Executed:
        seen = tuple(
            tx.ObservedBalance(address=str(key[1]), token=str(key[2]), amount=str(raw))
            for key, raw in self._replica.state.wallets.rows()
            if key[0] == chain
        )
        return self._say(Role.WATCHER, tx.BalancesObserved, chain=chain, position=1, balances=seen)

    def _withdraw(self, chain: str, name: str, to: str, amount: str) -> Executed:
        asset = next(asset for asset, where in LISTINGS if where == chain)
        return self._say(
            Role.PAYOUTS, tx.WithdrawalRequested, id=name, account="alice", asset=asset, chain=chain, to=to,
            amount=amount, create_account=False,
        )  # fmt: skip

    def _hold(self, chain: str, direction: str) -> Executed:
        return self._say(
            Role.RELAY, tx.HoldSet, hold=f"auto:provider:{chain}:{direction}", chain=chain, asset="", account="",
            wallet="", provider="", direction=direction, origin="auto", cause="provider", reason="a test",
            actor="auto", until=0,
        )  # fmt: skip


def _token(asset: str, chain: str) -> str:
    return NATIVE if LISTINGS.index((asset, chain)) < len(CHAINS) else f"0x{asset}"


def _genesis() -> tx.Genesis:
    keys = [tx.KeyRow(id=key.id, public=key.public.hex(), roles=(role,)) for role, key in _KEYS.items()]
    keys.append(tx.KeyRow(id=_OTHER_ADMIN.id, public=_OTHER_ADMIN.public.hex(), roles=(Role.ADMIN,)))
    chains = tuple(
        tx.ChainRow(chain=chain, family="evm", identity=str(place), decoder=1, position=0, height=0, hash="h0")
        for place, chain in enumerate(CHAINS)
    )
    assets = tuple(
        tx.AssetRow(
            asset=asset,
            decimals=6,
            representations=(
                tx.Representation(chain=chain, token=_token(asset, chain), decimals=6, program="", minimum="10"),
            ),
        )
        for asset, chain in LISTINGS
    )
    parameters = tuple(
        tx.ParameterRow(name="approval_above", scope=asset, value="100") for asset, _ in LISTINGS[: len(CHAINS)]
    )
    return tx.Genesis(
        ledger="", seq=0, name="crowd", quorum=2, keys=tuple(keys), chains=chains, assets=assets,
        parameters=parameters,
    )  # fmt: skip
