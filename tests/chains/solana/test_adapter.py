"""Paying: whom the adapter refuses, what it bids, what becomes of a send, and how a transaction dies."""

from __future__ import annotations

import copy
from collections.abc import Callable

import msgspec
import pytest
from solders.account import Account
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from spl.token.instructions import set_authority
from spl.token.models import AuthorityType, SetAuthorityParams

from chains.devnet.solana.bank import Commitment
from chains.errors import AddressError, ChainError, Integrity, NoProvider, Permanent, Retryable
from chains.observations import NATIVE, Block
from chains.pool.calls import Call
from chains.ports import Draft, Payment, Sent, Token
from chains.solana.adapter import SolanaAdapter, SolanaSettings, bid
from chains.solana.codec import SYSTEM_PROGRAM, TOKEN_PROGRAM, message_digest
from chains.solana.finality import MARGIN, is_dead, last_valid_height
from chains.solana.rpc import RecentFee
from tests.chains.lyingproviders import Reply, Temper, failing, honest, silent
from tests.chains.solana.localproviders import LocalUpstream
from tests.chains.solana.realchain import PROGRAM, SOL, RealChain, ata, name, wallet, watch

HOT, ALICE, BOB, LOOSE = wallet(1), wallet(2), wallet(3), wallet(4)
STAKE = Pubkey.from_string("Stake11111111111111111111111111111111111111")
LOADER = Pubkey.from_string("NativeLoader1111111111111111111111111111111")


class Bench:
    """A funded hot wallet on a chain with one mint, behind two providers."""

    def __init__(self, **tempers: Temper) -> None:
        self.chain = RealChain("adapter")
        self.mint = self.chain.mint(500).pubkey()
        self.chain.fund(HOT)
        self.chain.give(HOT, self.mint, 1_000_000)
        self.chain.block()
        self.upstream = LocalUpstream(self.chain.bank, **(tempers or {"a": honest, "b": honest}))
        self.settings = SolanaSettings(chain="solana", genesis_hash=self.chain.bank.genesis.blockhash)
        self.adapter = SolanaAdapter(self.settings, self.upstream)
        self.token = Token(address=str(self.mint), decimals=6, program=TOKEN_PROGRAM)

    @property
    def blockhash(self) -> str:
        return self.chain.bank.at(Commitment.FINALIZED).blockhash

    def pay(self, recipient: Keypair, amount: int, *, token: bool = False, create: bool = False) -> Payment:
        return Payment(
            source=name(HOT),
            recipient=name(recipient),
            token=str(self.mint) if token else NATIVE,
            amount=amount,
            create_account=create,
        )

    async def draft(self, *payments: Payment, blockhash: str | None = None) -> Draft:
        return await self.adapter.draft(
            name(HOT), payments, nonce=None, blockhash=blockhash or self.blockhash, tokens=(self.token,)
        )

    async def signed(self, *payments: Payment) -> bytes:
        message = self.adapter.compose(await self.draft(*payments))
        return self.adapter.attach(message, {name(HOT): bytes(HOT.sign_message(message))})

    def put(self, key: Keypair, owner: Pubkey, data: bytes = b"", *, executable: bool = False) -> None:
        """An account as some program would have left it."""
        self.chain.bank.svm.set_account(key.pubkey(), Account(SOL, data, owner, executable))

    async def cursor(self) -> Block:
        return (await self.adapter.head()).finalized


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def refused(bench: Bench, address: str, token: str = NATIVE, *, may_create: bool = False) -> str:
    try:
        await bench.adapter.check_recipient(address, token, may_create=may_create)
    except AddressError as error:
        return error.code
    return ""


async def test_recipients_are_wallets_and_nothing_else(bench: Bench) -> None:
    bench.chain.fund(ALICE, SOL)
    bench.chain.run(bench.chain.auxiliary(LOOSE, ALICE, bench.mint), LOOSE)
    bench.chain.block()
    nonce, stake, program = wallet(60), wallet(61), wallet(62)
    bench.put(nonce, Pubkey.from_string(SYSTEM_PROGRAM), bytes(80))
    bench.put(stake, STAKE, bytes(200))
    bench.put(program, LOADER, b"builtin", executable=True)
    assert await refused(bench, name(ALICE)) == ""
    assert await refused(bench, name(LOOSE)) == "address_is_token_account"
    assert await refused(bench, str(bench.mint)) == "address_is_token_account"
    assert await refused(bench, name(nonce)) == "address_not_payable"
    assert await refused(bench, name(stake)) == "address_not_payable"
    assert await refused(bench, name(program)) == "address_is_program"
    assert await refused(bench, str(ata(ALICE, bench.mint))) == "address_off_curve"
    assert await refused(bench, "nowhere") == "address_malformed"


async def test_an_absent_recipient_needs_the_users_word(bench: Bench) -> None:
    token = str(bench.mint)
    assert await refused(bench, name(BOB)) == "account_absent"
    assert await refused(bench, name(BOB), may_create=True) == ""
    assert await refused(bench, name(BOB), token) == "account_absent"
    bench.chain.fund(BOB, SOL)
    assert await refused(bench, name(BOB), token) == "account_absent"
    assert await refused(bench, name(BOB), token, may_create=True) == ""
    bench.chain.give(ALICE, bench.mint, 0)
    assert await refused(bench, name(ALICE), token) == ""
    assert await refused(bench, name(ALICE)) == "account_absent"


async def drafting(bench: Bench, *payments: Payment, blockhash: str | None = None) -> str:
    try:
        await bench.draft(*payments, blockhash=blockhash)
    except ChainError as error:
        return error.code
    return ""


async def test_what_a_draft_refuses(bench: Bench) -> None:
    rent = bench.chain.bank.svm.minimum_balance_for_rent_exemption(0)
    assert await drafting(bench, bench.pay(BOB, rent - 1)) == "below_rent_minimum"
    assert await drafting(bench, bench.pay(BOB, rent)) == ""
    assert await drafting(bench, bench.pay(BOB, rent - 1), bench.pay(BOB, 1)) == ""
    bench.chain.fund(BOB, rent)
    assert await drafting(bench, bench.pay(BOB, 1)) == ""
    assert await drafting(bench, bench.pay(BOB, 1, token=True)) == "token_account_absent"
    assert await drafting(bench, bench.pay(BOB, 1, token=True, create=True)) == ""
    assert await drafting(bench, bench.pay(BOB, 1_000_001, token=True, create=True)) == "would_fail"
    assert await drafting(bench, bench.pay(BOB, 100 * SOL)) == "would_fail"
    assert await drafting(bench, bench.pay(BOB, SOL), blockhash=str(Hash.default())) == "blockhash_not_found"
    assert await drafting(bench) == "draft_invalid"


async def test_a_token_account_that_is_no_longer_the_recipients_is_not_paid(bench: Bench) -> None:
    bench.chain.give(BOB, bench.mint, 5)
    bench.chain.block()
    assert await drafting(bench, bench.pay(BOB, 1, token=True)) == ""
    assert (await bench.adapter.balance(name(BOB), str(bench.mint))).amount == 5
    given_away = set_authority(
        SetAuthorityParams(
            program_id=PROGRAM,
            account=ata(BOB, bench.mint),
            authority=AuthorityType.ACCOUNT_OWNER,
            current_authority=BOB.pubkey(),
            signers=[],
            new_authority=ALICE.pubkey(),
        )
    )
    bench.chain.run([given_away], BOB)
    bench.chain.block()
    assert await drafting(bench, bench.pay(BOB, 1, token=True)) == "token_account_unusable"
    bench.chain.block()
    assert (await bench.adapter.balance(name(BOB), str(bench.mint))).amount == 0


async def test_a_frozen_token_account_is_not_paid(bench: Bench) -> None:
    bench.chain.give(BOB, bench.mint, 5)
    account = bench.chain.bank.svm.get_account(ata(BOB, bench.mint))
    assert account is not None
    frozen = account.data[:108] + b"\x02" + account.data[109:]
    bench.chain.bank.svm.set_account(ata(BOB, bench.mint), Account(account.lamports, frozen, account.owner))
    assert await drafting(bench, bench.pay(BOB, 1, token=True)) == "token_account_unusable"


async def test_a_draft_is_never_a_replacement(bench: Bench) -> None:
    draft = await bench.draft(bench.pay(BOB, SOL))
    with pytest.raises(Permanent, match="bump_unsupported"):
        await bench.adapter.draft(
            name(HOT), draft.payments, nonce=None, blockhash=bench.blockhash, tokens=(), bump=draft
        )


async def test_a_draft_of_another_chain_is_not_composed(bench: Bench) -> None:
    draft = await bench.draft(bench.pay(BOB, SOL))
    for other in (
        msgspec.structs.replace(draft, chain_id=str(Hash.default())),
        msgspec.structs.replace(draft, chain="elsewhere"),
    ):
        with pytest.raises(Permanent, match="draft_invalid"):
            bench.adapter.compose(other)


async def test_the_compute_limit_is_what_was_consumed_and_a_tenth(bench: Bench) -> None:
    payments = (bench.pay(BOB, 7, token=True, create=True), bench.pay(ALICE, SOL))
    draft = await bench.draft(*payments)
    raw = await bench.signed(*payments)
    assert (await bench.adapter.broadcast(raw)).result is Sent.ACCEPTED
    bench.chain.block()
    assert bench.chain.errors() == ["null"]
    used = bench.chain.bank.tip.landed[0].execution.report.units
    assert int(draft.parameters["compute_limit"]) == -(-used * 11 // 10)


@pytest.mark.parametrize(
    ("fees", "floor", "top", "percentile", "price"),
    [
        ([], 0, 100, 75, 0),
        ([], 7, 100, 75, 7),
        ([5], 0, 100, 75, 5),
        ([1, 2, 3, 4], 0, 100, 75, 3),
        ([4, 3, 2, 1], 0, 100, 75, 3),
        ([1, 2, 3, 4], 0, 100, 76, 4),
        ([1, 2, 3, 4], 0, 100, 0, 1),
        ([1, 2, 3, 4], 0, 100, 100, 4),
        ([1, 2, 3, 4_000], 0, 100, 100, 100),
        ([1, 2, 3, 4], 50, 100, 75, 50),
    ],
)
def test_the_bid_is_a_capped_percentile(fees: list[int], floor: int, top: int, percentile: int, price: int) -> None:
    settings = SolanaSettings(
        chain="solana", genesis_hash="g", price_floor=floor, price_cap=top, price_percentile=percentile
    )
    assert bid([RecentFee(slot=n, prioritization_fee=fee) for n, fee in enumerate(fees)], settings) == price


@pytest.mark.parametrize(
    "numbers",
    [{"price_floor": 2, "price_cap": 1}, {"price_floor": -1}, {"price_cap": 2**64}, {"price_percentile": 101}],
)
def test_settings_out_of_order_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="price_"):
        msgspec.convert({"chain": "solana", "genesis_hash": "g"} | numbers, SolanaSettings)
    with pytest.raises(ValueError, match="price_"):
        SolanaSettings(chain="solana", genesis_hash="g", **numbers)


def preflight(err: object, message: str = "Transaction simulation failed: x") -> Temper:
    def temper(call: Call, reply: Reply) -> Reply:
        if call.method != "sendTransaction":
            return reply
        return {"id": 1, "error": {"code": -32002, "message": message, "data": {"err": err, "logs": []}}}

    return temper


def sending(code: int, message: str) -> Temper:
    return lambda call, reply: (
        {"id": 1, "error": {"code": code, "message": message}} if call.method == "sendTransaction" else reply
    )


def other_id(call: Call, reply: Reply) -> Reply:
    return {"id": 1, "result": "1" * 64} if call.method == "sendTransaction" else reply


def quiet(call: Call, reply: Reply) -> Reply | None:
    return None if call.method == "sendTransaction" else reply


@pytest.mark.parametrize(
    ("tempers", "result", "code"),
    [
        ((honest, honest), Sent.ACCEPTED, ""),
        ((honest, quiet), Sent.ACCEPTED, ""),
        ((preflight("BlockhashNotFound"), honest), Sent.ACCEPTED, ""),
        ((preflight("AlreadyProcessed"), quiet), Sent.ACCEPTED, ""),
        ((quiet, quiet), Sent.AMBIGUOUS, ""),
        ((other_id, other_id), Sent.AMBIGUOUS, ""),
        ((quiet, preflight("BlockhashNotFound")), Sent.AMBIGUOUS, ""),
        ((sending(429, "slow down"), preflight("BlockhashNotFound")), Sent.AMBIGUOUS, ""),
        ((preflight("BlockhashNotFound"), preflight("BlockhashNotFound")), Sent.REFUSED, "blockhash_not_found"),
        ((preflight("AccountNotFound"), preflight("AccountNotFound")), Sent.REFUSED, "insufficient_funds"),
        ((preflight("InsufficientFundsForFee"),), Sent.REFUSED, "insufficient_funds"),
        ((preflight({"InstructionError": [0, {"Custom": 1}]}),), Sent.REFUSED, "simulation_failed"),
        ((preflight({"InstructionError": [0, 1]}, "insufficient lamports 1"),), Sent.REFUSED, "insufficient_funds"),
        ((sending(-32003, "Transaction signature verification failure"),), Sent.REFUSED, "malformed"),
        ((sending(-32602, "failed to deserialize"),), Sent.REFUSED, "malformed"),
    ],
)
async def test_what_became_of_a_send(tempers: tuple[Temper, ...], result: Sent, code: str) -> None:
    bench = Bench(**{f"p{n}": temper for n, temper in enumerate(tempers)})
    answer = await bench.adapter.broadcast(await bench.signed(bench.pay(BOB, SOL)))
    assert (answer.result, answer.code) == (result, code)
    assert len([1 for _, call in bench.upstream.asked if call.broadcast]) == len(tempers)
    assert {provider for provider, _ in bench.upstream.strikes} == {
        f"p{n}" for n, temper in enumerate(tempers) if temper is other_id
    }


async def test_junk_is_not_sent_and_nobody_is_not_everybody(bench: Bench) -> None:
    with pytest.raises(Permanent, match="message_malformed"):
        await bench.adapter.broadcast(b"junk")
    raw = await bench.signed(bench.pay(BOB, SOL))
    bench.upstream.unavailable = {"a", "b"}
    with pytest.raises(NoProvider):
        await bench.adapter.broadcast(raw)
    with pytest.raises(NoProvider):
        await bench.adapter.identify()


async def test_one_provider_of_another_chain_is_refused_and_so_is_a_chain_with_too_few_left() -> None:
    def foreign(call: Call, reply: Reply) -> Reply:
        return {"id": 1, "result": str(Hash.default())} if call.method == "getGenesisHash" else reply

    bench = Bench(a=honest, b=foreign, c=silent)
    with pytest.raises(Integrity, match="wrong_chain"):
        await bench.adapter.identify()
    assert [provider for provider, _ in bench.upstream.strikes] == ["b"]


async def test_a_balance_is_what_enough_providers_say() -> None:
    def richer(call: Call, reply: Reply) -> Reply:
        if call.method != "getBalance":
            return reply
        return {"id": 1, "result": {**reply["result"], "value": reply["result"]["value"] + 1}}

    def late(call: Call, reply: Reply) -> Reply:
        if call.method not in {"getBalance", "getMultipleAccounts"}:
            return reply
        return {"id": 1, "result": {**reply["result"], "context": {"slot": 1}}}

    bench = Bench(a=richer, b=late, c=honest)
    held = bench.chain.bank.svm.get_balance(HOT.pubkey()) or 0
    found = await bench.adapter.balance(name(HOT), NATIVE)
    assert (found.amount, found.position) == (held, bench.chain.bank.at(Commitment.FINALIZED).slot)
    assert (await bench.adapter.balance(name(HOT), str(bench.mint))).amount == 1_000_000
    assert (await bench.adapter.balance(name(BOB), str(bench.mint))).amount == 0
    two = Bench(a=richer, b=honest)
    with pytest.raises(Retryable, match=r"unproven: the balance of .* is not told alike by a, b"):
        await two.adapter.balance(name(HOT), NATIVE)
    one = Bench(a=honest, b=silent)
    with pytest.raises(Retryable, match=r"unproven: the balance of .* is said by a alone"):
        await one.adapter.balance(name(HOT), NATIVE)
    alone = Bench(a=richer)
    assert (await alone.adapter.balance(name(HOT), NATIVE)).amount == held + 1, "one configured: one word"


@pytest.mark.parametrize("fee", [0, 10**30])
@pytest.mark.parametrize("at", [0, 1, 2])
async def test_no_single_provider_names_the_price(at: int, fee: int) -> None:
    def paying(price: int) -> Temper:
        told = {"id": 1, "result": [{"slot": 1, "prioritizationFee": price}]}
        return lambda call, reply: told if call.method == "getRecentPrioritizationFees" else reply

    tempers = [paying(12_345), paying(12_345)]
    tempers.insert(at, paying(fee))
    bench = Bench(**{f"p{n}": temper for n, temper in enumerate(tempers)})
    draft = await bench.draft(bench.pay(BOB, SOL))
    assert draft.parameters["compute_price"] == "12345"


async def test_absence_leaves_out_whoever_contradicts_himself() -> None:
    """A lagging node behind a good one's address knows nothing of what the good one saw: its null is no evidence."""

    def lagging(call: Call, reply: Reply) -> Reply:
        changed = copy.deepcopy(reply)
        if call.method == "getSignatureStatuses":
            changed["result"] = {"context": {"slot": 1}, "value": [None]}
        return changed

    bench = Bench(a=honest, b=lagging, c=failing(-32005, "behind"), d=silent)
    bench.upstream.tempers |= {"c": _later(failing(-32005, "behind")), "d": _later(silent)}
    raw = await bench.signed(bench.pay(BOB, SOL))
    tx = bench.adapter.transaction_id(raw)
    statements = await bench.adapter.absence(tx)
    assert [(one.provider, one.found) for one in statements] == [("a", False)]
    await bench.adapter.broadcast(raw)
    bench.chain.block()
    assert [(one.provider, one.found) for one in await bench.adapter.absence(tx)] == [("a", True)]
    with pytest.raises(Permanent, match="tx_malformed"):
        await bench.adapter.absence("x")


def _later(temper: Temper) -> Temper:
    asked = {"getEpochInfo", "getSignatureStatuses"}
    return lambda call, reply: temper(call, reply) if call.method in asked else reply


@pytest.mark.parametrize("late", [0, 1])
async def test_the_last_block_a_transaction_can_land_in(bench: Bench, late: int) -> None:
    """It lands one block above the "last valid" height, and never in the one after that."""
    block = bench.chain.bank.at(Commitment.FINALIZED)
    raw = await bench.signed(bench.pay(BOB, SOL))
    last = last_valid_height(block.height)
    while bench.chain.bank.tip.height < last + late:
        bench.chain.block()
    answer = await bench.adapter.broadcast(raw)
    assert answer.result is (Sent.REFUSED if late else Sent.ACCEPTED)
    landed = bench.chain.block().transactions
    assert bench.chain.bank.tip.height == last + 1 + late
    assert len(landed) == 1 - late


async def test_an_unsent_transaction_is_proven_dead_and_not_a_block_earlier(bench: Bench) -> None:
    """From the scan's own heights and two providers' word, as the ledger's rule counts."""
    start = await bench.cursor()
    raw = await bench.signed(bench.pay(BOB, SOL))
    tx = bench.adapter.transaction_id(raw)
    last = last_valid_height(start.height)
    cursor, watching, died = start, watch(hot=[HOT]), 0
    while not died:
        bench.chain.block()
        found = await bench.adapter.scan(cursor, watching, 64)
        if found is not None:
            cursor = found.blocks[-1]
            assert not found.outcomes
        if cursor.height > last:
            statements = await bench.adapter.absence(tx)
            if is_dead(start.height, cursor.height, False, statements, 2):
                died = cursor.height
    assert died == last + MARGIN
    assert (await bench.adapter.broadcast(raw)).code == "blockhash_not_found"


async def test_balances_of_both_kinds_and_of_nobody(bench: Bench) -> None:
    position = bench.chain.bank.at(Commitment.FINALIZED).slot
    held = await bench.adapter.balance(name(HOT), str(bench.mint))
    assert (held.amount, held.position) == (1_000_000, position)
    assert (await bench.adapter.balance(name(HOT), NATIVE)).amount == 10 * SOL
    for token in (NATIVE, str(bench.mint)):
        assert (await bench.adapter.balance(name(BOB), token)).amount == 0
    with pytest.raises(Permanent, match="token_unknown"):
        await bench.adapter.balance(name(HOT), "x")


def other_bytes(result: Reply) -> None:
    result["transaction"][0] = result["transaction"][0][:-8] + "AAAAAAA="


def other_slot(result: Reply) -> None:
    result["slot"] -= 1


def no_base64(result: Reply) -> None:
    result["transaction"][0] = "?"


@pytest.mark.parametrize(
    ("change", "code"),
    [(other_bytes, "malformed_transaction"), (other_slot, "not_yet"), (no_base64, "provider_broken")],
)
async def test_a_full_transaction_that_does_not_match_its_block_is_not_reported(
    change: Callable[[Reply], None], code: str
) -> None:
    """Other bytes under our transaction's id would hide which attempt it was; the range waits instead."""

    def swapped(call: Call, reply: Reply) -> Reply:
        if call.method != "getTransaction":
            return reply
        changed = copy.deepcopy(reply)
        change(changed["result"])
        return changed

    bench = Bench(a=swapped)
    start = await bench.cursor()
    raw = await bench.signed(bench.pay(BOB, SOL))
    assert message_digest(raw, bench.adapter.transaction_id(raw), name(HOT))
    await bench.adapter.broadcast(raw)
    bench.chain.block()
    bench.chain.block()
    with pytest.raises(Retryable, match=code):
        await bench.adapter.scan(start, watch(hot=[HOT]), 50)
