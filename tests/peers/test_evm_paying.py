"""Paying on a real EVM node: nonces, replacements, refusals, and what stands in the blocks afterwards."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest
from eth_account import Account

from chains.devnet.anvil import CHAIN_ID, ETHER
from chains.errors import AddressError, NoProvider, Permanent
from chains.evm import composer
from chains.evm.adapter import EvmAdapter
from chains.observations import NATIVE, Block, Outcome, Paid
from chains.ports import Draft, Payment, Sent, Tier, Token
from tests.contract.rig_evm import SETTINGS, EvmRig, open_rig

LIMIT = 100


@pytest.fixture
async def rig() -> AsyncIterator[EvmRig]:
    async with open_rig() as opened:
        yield opened


async def wallet(rig: EvmRig, wei: int = ETHER) -> tuple[str, Block]:
    """A hot wallet with money, and the finalized block to scan from."""
    hot = rig.new_address()
    rig.watch.add(hot, Tier.HOT)
    await rig.anvil.set_balance(hot, wei)
    await rig.finalize()
    return hot, (await rig.adapter.head()).finalized


def pays(hot: str, recipient: str, amount: int, token: str = NATIVE) -> tuple[Payment, ...]:
    return (Payment(source=hot, recipient=recipient, token=token, amount=amount),)


async def drafted(
    rig: EvmRig, hot: str, payments: tuple[Payment, ...], nonce: int = 0, bump: Draft | None = None
) -> Draft:
    tokens = tuple(Token(address=p.token, decimals=6) for p in payments if p.token != NATIVE)
    return await rig.adapter.draft(hot, payments, nonce=nonce, blockhash=None, tokens=tokens, bump=bump)


def signed(rig: EvmRig, draft: Draft) -> bytes:
    message = rig.adapter.compose(draft)
    return rig.adapter.attach(message, {draft.sender: rig.sign(message, draft.sender)})


def attempt_id(rig: EvmRig, draft: Draft) -> str:
    return hashlib.sha256(rig.adapter.compose(draft)).hexdigest()


async def outcomes(rig: EvmRig, cursor: Block) -> tuple[Outcome, ...]:
    await rig.finalize()
    found = await rig.adapter.scan(cursor, rig.watch, LIMIT)
    assert found is not None
    return found.outcomes


async def test_a_bump_at_the_same_nonce_lands_once(rig: EvmRig) -> None:
    hot, cursor = await wallet(rig)
    recipient = rig.new_address()
    first = await drafted(rig, hot, pays(hot, recipient, 5))
    second = await drafted(rig, hot, pays(hot, recipient, 5), bump=first)
    for name in ("max_fee", "max_priority_fee"):
        assert int(second.parameters[name]) * 1000 >= int(first.parameters[name]) * 1125
    assert second.parameters["gas"] == first.parameters["gas"]
    assert attempt_id(rig, first) != attempt_id(rig, second)
    for draft in (first, second):
        assert (await rig.adapter.broadcast(signed(rig, draft))).result is Sent.ACCEPTED
    [outcome] = await outcomes(rig, cursor)
    assert (outcome.message, outcome.nonce) == (attempt_id(rig, second), 0)
    assert (await rig.adapter.balance(recipient, NATIVE)).amount == 5
    beaten = await rig.adapter.broadcast(signed(rig, first))
    assert (beaten.result, beaten.code) == (Sent.AMBIGUOUS, "nonce_too_low")
    assert (await rig.adapter.broadcast(signed(rig, second))).result is Sent.ACCEPTED
    assert {a.found for a in await rig.adapter.absence(rig.adapter.transaction_id(signed(rig, first)))} == {False}


async def test_a_cancel_replaces_a_payment(rig: EvmRig) -> None:
    hot, cursor = await wallet(rig)
    recipient = rig.new_address()
    payment = await drafted(rig, hot, pays(hot, recipient, 5))
    cancel = await drafted(rig, hot, (), bump=payment)
    for draft in (payment, cancel):
        await rig.adapter.broadcast(signed(rig, draft))
    [outcome] = await outcomes(rig, cursor)
    assert (outcome.message, outcome.paid, outcome.succeeded) == (attempt_id(rig, cancel), (), True)
    assert (await rig.adapter.balance(recipient, NATIVE)).amount == 0


async def test_a_filler_closes_its_nonce_and_costs_its_fee_only(rig: EvmRig) -> None:
    hot, cursor = await wallet(rig)
    filler = await drafted(rig, hot, ())
    assert filler.parameters["gas"] == "21000"
    behind = await drafted(rig, hot, pays(hot, rig.new_address(), 5), nonce=1)
    for draft in (behind, filler):
        assert (await rig.adapter.broadcast(signed(rig, draft))).result is Sent.ACCEPTED
    closed, landed = await outcomes(rig, cursor)
    assert (closed.nonce, closed.paid, closed.message) == (0, (), attempt_id(rig, filler))
    assert (landed.nonce, landed.message) == (1, attempt_id(rig, behind))
    assert (await rig.adapter.balance(hot, NATIVE)).amount == ETHER - 5 - closed.fee - landed.fee


async def test_a_payment_that_fails_on_chain_uses_its_nonce_and_its_fee(rig: EvmRig) -> None:
    hot, cursor = await wallet(rig)
    recipient = rig.new_address()
    await rig.fund(hot, rig.token, 100)
    await rig.finalize()
    good = await drafted(rig, hot, pays(hot, recipient, 60, rig.token.address))
    doomed = await drafted(rig, hot, pays(hot, recipient, 60, rig.token.address), nonce=1)
    for draft in (good, doomed):
        assert (await rig.adapter.broadcast(signed(rig, draft))).result is Sent.ACCEPTED
    first, second = await outcomes(rig, cursor)
    assert (first.succeeded, first.paid) == (True, (Paid(recipient=recipient, token=rig.token.address, amount=60),))
    assert (second.succeeded, second.paid, second.message) == (False, (), attempt_id(rig, doomed))
    assert second.fee > 0
    assert (await rig.adapter.balance(recipient, rig.token.address)).amount == 60
    assert (await rig.adapter.balance(hot, NATIVE)).amount == ETHER - first.fee - second.fee


async def test_a_token_that_says_false_was_not_paid(rig: EvmRig) -> None:
    hot, cursor = await wallet(rig)
    false = await rig.anvil.deploy("FalseToken")
    rig.watch.list_tokens((rig.native, rig.token, Token(address=false, decimals=6)), 2)
    await rig.adapter.broadcast(signed(rig, await drafted(rig, hot, pays(hot, rig.new_address(), 5, false))))
    [outcome] = await outcomes(rig, cursor)
    assert (outcome.succeeded, outcome.paid) == (True, ())


@pytest.mark.parametrize("kind", [0, 1, 2, 4])
async def test_a_foreign_transaction_from_our_wallet_is_reported_and_matches_nothing(rig: EvmRig, kind: int) -> None:
    hot, cursor = await wallet(rig)
    recipient = rig.new_address()
    fields: dict[str, object] = {"chainId": CHAIN_ID, "nonce": 0, "gas": 100_000, "to": recipient, "value": 7}
    fields |= {"gasPrice": 10**10} if kind < 2 else {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1}
    if kind:
        fields |= {"type": kind}
    key = rig.key(hot)
    if kind == 4:
        tuple_ = {"chainId": CHAIN_ID, "address": rig.forwarder, "nonce": 1}
        fields |= {"authorizationList": [Account.sign_authorization(tuple_, key.secret)]}
    await rig.anvil.rpc(
        "eth_sendRawTransaction", "0x" + bytes(Account.sign_transaction(fields, key.secret).raw_transaction).hex()
    )
    [outcome] = await outcomes(rig, cursor)
    ours = await drafted(rig, hot, pays(hot, recipient, 7))
    assert (outcome.sender, outcome.nonce, outcome.succeeded) == (hot, 0, True)
    assert outcome.paid == (Paid(recipient=recipient, token=NATIVE, amount=7),)
    assert outcome.message != attempt_id(rig, ours)
    assert (await rig.adapter.balance(hot, NATIVE)).amount == ETHER - 7 - outcome.fee


async def test_a_contract_is_no_recipient_where_none_is_allowed(rig: EvmRig) -> None:
    hot, _ = await wallet(rig)
    with pytest.raises(AddressError) as refused:
        await rig.adapter.check_recipient(rig.forwarder, NATIVE, may_create=False)
    assert refused.value.code == "address_is_contract"
    with pytest.raises(AddressError) as refused:
        await rig.adapter.check_recipient(rig.token.address, rig.token.address, may_create=False)
    assert refused.value.code == "address_not_payable"
    open_handed = EvmAdapter(msgspec.structs.replace(SETTINGS, contracts=True), rig.upstream)
    await open_handed.check_recipient(rig.forwarder, NATIVE, may_create=False)
    draft = await drafted(rig, hot, pays(hot, rig.forwarder, 5))
    assert int(draft.parameters["gas"]) > composer.PLAIN_GAS


async def test_an_account_that_delegated_itself_is_still_an_account(rig: EvmRig) -> None:
    hot, _ = await wallet(rig)
    delegated = rig.new_address()
    await rig.anvil.rpc("anvil_setCode", delegated, "0xef0100" + rig.forwarder[2:].lower())
    await rig.adapter.check_recipient(delegated, NATIVE, may_create=False)
    draft = await drafted(rig, hot, pays(hot, delegated, 5))
    assert int(draft.parameters["gas"]) > composer.PLAIN_GAS
    await rig.adapter.broadcast(signed(rig, draft))
    await rig.finalize()
    assert (await rig.adapter.balance(delegated, NATIVE)).amount == 5


async def test_a_contract_that_refuses_would_fail(rig: EvmRig) -> None:
    hot, _ = await wallet(rig)
    refuser = await rig.anvil.deploy("Refuser")
    with pytest.raises(Permanent) as refused:
        await drafted(rig, hot, pays(hot, refuser, 5))
    assert refused.value.code == "would_fail"


async def test_a_fee_spike_stops_drafting(rig: EvmRig) -> None:
    hot, _ = await wallet(rig)
    first = await drafted(rig, hot, ())
    frugal = EvmAdapter(msgspec.structs.replace(SETTINGS, max_fee=10**8), rig.upstream)
    with pytest.raises(Permanent) as refused:
        await frugal.draft(hot, (), nonce=0, blockhash=None, tokens=())
    assert refused.value.code == "fee_above_cap"
    thrifty = EvmAdapter(msgspec.structs.replace(SETTINGS, max_fee=int(first.parameters["max_fee"])), rig.upstream)
    with pytest.raises(Permanent) as refused:
        await thrifty.draft(hot, (), nonce=0, blockhash=None, tokens=(), bump=first)
    assert refused.value.code == "fee_above_cap"


async def test_an_estimate_above_the_cap_is_refused(rig: EvmRig) -> None:
    hot, _ = await wallet(rig)
    frugal = EvmAdapter(msgspec.structs.replace(SETTINGS, max_gas=30_000), rig.upstream)
    await rig.fund(hot, rig.token, 5)
    await rig.finalize()
    with pytest.raises(Permanent) as refused:
        await frugal.draft(
            hot, pays(hot, rig.new_address(), 5, rig.token.address), nonce=0, blockhash=None, tokens=(rig.token,)
        )
    assert refused.value.code == "gas_above_cap"


async def test_a_bump_keeps_sender_and_nonce(rig: EvmRig) -> None:
    hot, _ = await wallet(rig)
    first = await drafted(rig, hot, ())
    with pytest.raises(Permanent) as refused:
        await drafted(rig, hot, (), nonce=1, bump=first)
    assert refused.value.code == "draft_invalid"


async def test_one_provider_that_takes_it_is_enough(rig: EvmRig) -> None:
    hot, cursor = await wallet(rig)
    raw = signed(rig, await drafted(rig, hot, ()))
    honest = dict(rig.upstream.urls)
    rig.upstream.urls.clear()
    rig.upstream.urls["dead"] = dead_url()
    assert (await rig.adapter.broadcast(raw)).result is Sent.AMBIGUOUS
    rig.upstream.urls.update(honest)
    assert (await rig.adapter.broadcast(raw)).result is Sent.ACCEPTED
    assert len(await outcomes(rig, cursor)) == 1
    rig.upstream.calls.clear()
    assert (await rig.adapter.broadcast(raw)).result is Sent.ACCEPTED
    assert [name for name, method in rig.upstream.calls if method == "eth_sendRawTransaction"] == ["dead", *honest]
    assert {absence.provider for absence in await rig.adapter.absence(rig.adapter.transaction_id(raw))} == set(honest)


async def test_nobody_to_ask_is_said_so(rig: EvmRig) -> None:
    hot, _ = await wallet(rig)
    raw = signed(rig, await drafted(rig, hot, ()))
    rig.upstream.urls.clear()
    with pytest.raises(NoProvider):
        await rig.adapter.broadcast(raw)
    with pytest.raises(NoProvider):
        await rig.adapter.identify()
    rig.upstream.urls["dead"] = dead_url()
    with pytest.raises(NoProvider):
        await rig.adapter.identify()
    assert await rig.adapter.absence(rig.adapter.transaction_id(raw)) == ()


def dead_url() -> str:
    """A port of this machine that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
