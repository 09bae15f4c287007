"""A founded ledger for tests, grown by real transactions under real keys: nothing in it was put there by hand.

One EVM chain and one Solana chain; ETH, SOL, and USDC as one asset on both. Every `say` is a block of its own, sealed
and executed by a `Replica` as the sequencer does; `blobs` is the journal so far.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec
from solders.hash import Hash
from solders.keypair import Keypair

from chains.evm import codec as evm_codec
from chains.evm import composer as evm
from chains.observations import NATIVE
from chains.ports import Tier
from chains.solana import composer as solana
from chains.solana.codec import TOKEN_PROGRAM
from custody.drafting import draft_of
from custody.envelope import envelopes
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import Envelope
from custody.execution import Executed, Replica
from custody.journal import block as blocks
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.ledger.identifiers import attempt_id
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from custody.ledger.state import State
from custody.ledger.transition import Repeat, Result
from custody.signing.derivation import Family
from custody.signing.keystore import Keystore

START = 1_700_000_000_000
EVM, SOL = "ethereum", "solana"
FAMILY = {EVM: Family.EVM, SOL: Family.SOLANA}
SEEDS = {"evm": bytes(range(32)), "solana": bytes(range(32, 64)), "signer": bytes(range(64, 96))}
OTHER_SEEDS = {"evm": b"\1" * 32, "solana": b"\2" * 32, "signer": b"\3" * 32}
USDC_EVM = evm_codec.checksummed(bytes(range(20)))
USDC_SOL = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
STRANGER = {EVM: evm_codec.checksummed(b"\x11" * 20), SOL: str(Keypair.from_seed(b"\x11" * 32).pubkey())}
PARAMETERS = {
    EVM: {"gas": "21000", "max_fee": "2000000000", "max_priority_fee": "1000000000"},
    SOL: {"compute_limit": "20000", "compute_price": "1000"},
}
ROLES = {
    "watcher": Role.WATCHER,
    "composer": Role.COMPOSER,
    "relay": Role.RELAY,
    "engine": Role.ENGINE,
    "payouts": Role.PAYOUTS,
    "operator": Role.OPERATOR,
    "admin-1": Role.ADMIN,
    "admin-2": Role.ADMIN,
    "sequencer": Role.SEQUENCER,
}

T = TypeVar("T", bound=tx.Transaction)


def new_keystore() -> Keystore:
    """The wallet keys behind the ledger's addresses; always the same."""
    return Keystore(SEEDS)


class Ledger:
    """Block 0 is made by the constructor. `now` is the time of the next block, unix milliseconds; it stands still
    unless a test moves it."""

    def __init__(self, keystore: Keystore | None = None, *, now: int = START, name: str = "test") -> None:
        self.keystore = keystore or new_keystore()
        self.keys = {key: SigningKey(key, hashlib.sha256(key.encode()).digest()) for key in ROLES}
        self.now = now
        self.blobs: list[bytes] = []
        self.replica = Replica()
        self._positions = {EVM: 100, SOL: 100}
        rows = [tx.KeyRow(id=k, public=self.keys[k].public.hex(), roles=(role,)) for k, role in ROLES.items()]
        rows.append(tx.KeyRow(id="signer", public=self.keystore.identity.hex(), roles=(Role.SIGNER,)))
        genesis = tx.Genesis(
            ledger="",
            seq=0,
            name=name,
            quorum=2,
            keys=tuple(rows),
            chains=_chains(),
            assets=_assets(),
            parameters=tuple(tx.ParameterRow(name="fee_cap", scope=chain, value=str(10**18)) for chain in (EVM, SOL)),
        )
        founding = envelopes.sign(self.keys["admin-1"], encoding.encode(genesis))
        executed = self.replica.found(founding, self.keys["sequencer"], now=now)
        assert not isinstance(executed, Rejection), executed
        self._keep(executed)

    @property
    def state(self) -> State:
        """The ledger as it stands."""
        return self.replica.state

    def said(self, key: str, type_: type[T], **fields: Any) -> Envelope:
        """A signed transaction under a key's next number, not yet submitted."""
        window = self.state.windows.get(key)
        seq = 0 if window is None else window.high + 1
        payload = encoding.encode(type_(ledger=self.state.ledger, seq=seq, **fields))
        return self.keystore.envelope(key, payload) if key == "signer" else envelopes.sign(self.keys[key], payload)

    def submit(self, envelope: Envelope) -> Result | Repeat:
        """Put an envelope into a block of its own."""
        draft = self.replica.begin(now=self.now)
        taken = draft.take(envelope)
        assert not isinstance(taken, Rejection), taken
        if isinstance(taken, Result):
            self._keep(self.replica.seal(draft, self.keys["sequencer"]))
        return taken

    def say(self, key: str, type_: type[T], **fields: Any) -> Result:
        """Submit and insist on yes."""
        taken = self.submit(self.said(key, type_, **fields))
        assert isinstance(taken, Result), taken
        assert taken.code in ("ok", "endorsed"), taken.code
        return taken

    def tick(self) -> None:
        """A block that changes nothing of money: its time is `now`."""
        self.scan(EVM)

    def address(self, chain: str, tier: Tier, index: int = 0) -> str:
        """What the keystore has at a place."""
        return self.keystore.derive(FAMILY[chain], tier, index)

    def house(self, chain: str) -> None:
        """Attest the hot and gas wallets of a chain and have them watched."""
        for tier in (Tier.HOT, Tier.GAS):
            self.attest(chain, tier, "", 0)

    def user(self, account: str, chain: str) -> str:
        """Give a user a watched deposit address."""
        self.say("payouts", tx.AddressRequested, account=account, chain=chain)
        return self.attest(chain, Tier.DEPOSIT, account, self.state.slots.need(account, chain).index)

    def attest(self, chain: str, tier: Tier, account: str, index: int) -> str:
        """Attest and assign one address as the signer and the watcher do."""
        address = self.address(chain, tier, index)
        fields = {"chain": chain, "tier": tier.value, "account": account, "index": index, "address": address}
        self.say("signer", tx.AddressAttested, **fields)
        watched = self.state.chains.need(chain).watched + 1
        self.say("watcher", tx.AddressAssigned, chain=chain, address=address, watched=watched)
        return address

    def scan(
        self,
        chain: str,
        *,
        deposits: tuple[tuple[str, str, int], ...] = (),
        outcomes: tuple[tx.ScannedOutcome, ...] = (),
        count: int = 1,
    ) -> None:
        """The next finalized blocks; `deposits` as (address, token, raw amount) and `outcomes` stand in the first."""
        row, cursor = self.state.chains.need(chain), self.state.cursors.need(chain)
        first = cursor.position + 1
        found = tuple(
            tx.ScannedBlock(position=first + i, height=cursor.height + 1 + i, hash=block_hash(chain, first + i))
            for i in range(count)
        )
        self.say(
            "watcher",
            tx.ChainScanned,
            chain=chain,
            first=first,
            last=found[-1].position,
            parent=cursor.hash,
            blocks=found,
            deposits=tuple(
                tx.ScannedDeposit(
                    tx=f"in-{chain}-{first}-{i}",
                    ordinal="native" if token == NATIVE else f"log:{i}",
                    position=first,
                    address=address,
                    token=token,
                    amount=str(amount),
                )
                for i, (address, token, amount) in enumerate(deposits)
            ),
            movements=(),
            outcomes=tuple(msgspec.structs.replace(item, position=first) for item in outcomes),
            decoder=row.decoder,
            tokens=row.tokens,
            watched=row.watched,
        )

    def withdraw(self, name: str, account: str, asset: str, chain: str, amount: int, **fields: Any) -> None:
        """Request a withdrawal to a stranger."""
        given = {"to": STRANGER[chain], "create_account": False, **fields}
        self.say(
            "payouts",
            tx.WithdrawalRequested,
            id=name,
            account=account,
            asset=asset,
            chain=chain,
            amount=str(amount),
            **given,
        )

    def payment(self, withdrawal: str, sender: str, **changes: Any) -> tx.Purpose:
        """The purpose that pays a withdrawal exactly."""
        row = self.state.withdrawals.need(withdrawal)
        item = self.state.assets.need(row.asset).on(row.chain)
        assert item is not None, "the asset is on its chain"
        purpose = tx.Purpose(
            kind="withdrawal",
            id=withdrawal,
            source=sender,
            recipient=row.to,
            token=item.token,
            amount=str(row.raw),
            reference=hashlib.sha256(withdrawal.encode()).hexdigest()[:32],
            create_account=row.create_account,
        )
        return msgspec.structs.replace(purpose, **changes)

    def move(self, kind: str, chain: str, source: str, recipient: str, token: str, amount: int) -> tx.Purpose:
        """A sweep or a top-up."""
        return tx.Purpose(
            kind=kind,
            id="",
            source=source,
            recipient=recipient,
            token=token,
            amount=str(amount),
            reference="",
            create_account=False,
        )

    def attempt(self, chain: str, sender: str, purposes: tuple[tx.Purpose, ...], **fields: Any) -> dict[str, Any]:
        """The fields of an `attempt.prepared`, composed as the daemon composes; `fields` replace some beforehand.
        `message` given here is taken as it is."""
        lane = self.state.lanes.get(chain, sender)
        nonce = None if chain == SOL else fields.pop("nonce", 0 if lane is None else lane.next_nonce)
        blockhash = fields.pop("blockhash", self.state.cursors.need(SOL).hash) if chain == SOL else None
        parameters = fields.pop("parameters", PARAMETERS[chain])
        draft = draft_of(
            self.state,
            chain=chain,
            sender=sender,
            nonce=nonce,
            blockhash=blockhash,
            purposes=purposes,
            parameters=parameters,
        )
        composer = solana if chain == SOL else evm
        message: bytes = fields.pop("message", None) or composer.compose(draft)
        return {
            "attempt": attempt_id(chain, sender, hashlib.sha256(message).hexdigest()),
            "chain": chain,
            "sender": sender,
            "nonce": nonce,
            "blockhash": blockhash,
            "excludes": (),
            "purposes": purposes,
            "parameters": parameters,
            "fee_cap": str(composer.fee_cap(draft)),
            "rent_cap": "0",
            "message": message.hex(),
            **fields,
        }

    def prepare(self, chain: str, sender: str, purposes: tuple[tx.Purpose, ...], **fields: Any) -> str:
        """Record an attempt and return its id."""
        said = self.attempt(chain, sender, purposes, **fields)
        self.say("composer", tx.AttemptPrepared, **said)
        return str(said["attempt"])

    def outcome(self, attempt: str, *, succeeded: bool = True) -> tx.ScannedOutcome:
        """What a scan would show of an attempt that landed."""
        row = self.state.attempts.need(attempt)
        paid = tuple(tx.ScannedPaid(recipient=p.recipient, token=p.token, amount=p.amount) for p in row.purposes)
        return tx.ScannedOutcome(
            tx=f"out-{attempt[:16]}",
            position=0,
            sender=row.sender,
            nonce=row.nonce,
            message=hashlib.sha256(bytes.fromhex(row.message)).hexdigest(),
            succeeded=succeeded,
            fee="0",
            paid=paid if succeeded else (),
        )

    def hold(self, name: str, *, cause: str = "pause", **fields: Any) -> None:
        """Pause something; everything is in scope but for what `fields` narrow."""
        scope = dict.fromkeys(("chain", "asset", "account", "wallet", "provider"), "")
        origin = "operator" if cause in ("pause", "brake", "cordon") else "auto"
        given = {"direction": "all", "reason": "a test", "actor": "auto", "until": 0, **scope, **fields}
        self.say("relay", tx.HoldSet, hold=name, origin=origin, cause=cause, **given)

    def _keep(self, executed: Executed) -> None:
        self.blobs.append(blocks.encode(executed.block))


def funded(keystore: Keystore | None = None, *, now: int = START) -> Ledger:
    """Wallets on both chains; `alice` has deposited 10 ETH, 10 SOL and 1000 USDC on each chain; `bob` has addresses.
    Withdrawals are queued: `w-eth` and `w-usdc` on the EVM chain, `w-sol` and `w-spl` on Solana."""
    ledger = Ledger(keystore, now=now)
    for chain, token in ((EVM, USDC_EVM), (SOL, USDC_SOL)):
        ledger.house(chain)
        alice = ledger.user("alice", chain)
        ledger.user("bob", chain)
        whole = 10 * 10 ** (18 if chain == EVM else 9)
        ledger.scan(chain, deposits=((alice, NATIVE, whole), (alice, token, 1000 * 10**6)))
    ledger.withdraw("w-eth", "alice", "ETH", EVM, 10**18)
    ledger.withdraw("w-usdc", "alice", "USDC", EVM, 25 * 10**6)
    ledger.withdraw("w-sol", "alice", "SOL", SOL, 10**9)
    ledger.withdraw("w-spl", "alice", "USDC", SOL, 30 * 10**6, create_account=True)
    return ledger


def block_hash(chain: str, position: int) -> str:
    """A block's hash as its chain writes it, the same in every test."""
    digest = hashlib.sha256(f"{chain} {position}".encode()).digest()
    return "0x" + digest.hex() if chain == EVM else str(Hash(digest))


def _chains() -> tuple[tx.ChainRow, ...]:
    return tuple(
        tx.ChainRow(
            chain=chain,
            family=FAMILY[chain].value,
            identity="31337" if chain == EVM else "genesis",
            decoder=1,
            position=100,
            height=100,
            hash=block_hash(chain, 100),
        )
        for chain in (EVM, SOL)
    )


def _assets() -> tuple[tx.AssetRow, ...]:
    def on(chain: str, token: str, decimals: int, program: str = "") -> tx.Representation:
        return tx.Representation(chain=chain, token=token, decimals=decimals, program=program, minimum="0")

    return (
        tx.AssetRow(asset="ETH", decimals=18, representations=(on(EVM, NATIVE, 18),)),
        tx.AssetRow(asset="SOL", decimals=9, representations=(on(SOL, NATIVE, 9),)),
        tx.AssetRow(
            asset="USDC", decimals=6, representations=(on(EVM, USDC_EVM, 6), on(SOL, USDC_SOL, 6, TOKEN_PROGRAM))
        ),
    )
