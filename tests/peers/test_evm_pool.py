"""The EVM adapter behind the real provider pool and in front of real nodes: the two rooms mean the same by a `Call`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from chains.devnet.anvil import ETHER
from chains.errors import NoProvider, Permanent, Retryable
from chains.evm.adapter import EvmAdapter
from chains.observations import NATIVE
from chains.pool.pool import Pool
from chains.pool.settings import ProviderSettings
from chains.pool.transport import HttpTransport
from chains.ports import Payment, Sent, Tier
from tests.contract.rig_evm import SETTINGS, EvmRig, open_rig


@pytest.fixture
async def rig() -> AsyncIterator[EvmRig]:
    async with open_rig() as opened:
        providers = [
            ProviderSettings(name=name, url=url, requests_per_second=10_000.0)
            for name, url in opened.upstream.urls.items()
        ]
        pairs = [(settings, HttpTransport(settings)) for settings in providers]
        async with Pool("ethereum", "evm", pairs, clock=time.monotonic) as pool:
            opened.adapter = EvmAdapter(SETTINGS, pool)
            yield opened


async def test_a_payment_from_draft_to_outcome(rig: EvmRig) -> None:
    await rig.adapter.identify()
    hot, recipient = rig.new_address(), rig.new_address()
    rig.watch.add(hot, Tier.HOT)
    cursor = (await rig.adapter.head()).finalized
    await rig.fund(hot, rig.native, ETHER)
    await rig.finalize()
    payments = (Payment(source=hot, recipient=recipient, token=NATIVE, amount=5),)
    draft = await rig.adapter.draft(hot, payments, nonce=0, blockhash=None, tokens=())
    message = rig.adapter.compose(draft)
    raw = rig.adapter.attach(message, {hot: rig.sign(message, hot)})
    for step in (rig.mine, rig.finalize):
        assert (await rig.adapter.broadcast(raw)).result is Sent.ACCEPTED
        assert (await rig.adapter.broadcast(raw)).result is Sent.ACCEPTED
        await step()
    found = await rig.adapter.scan(cursor, rig.watch, 100)
    assert found is not None
    assert [outcome.tx for outcome in found.outcomes] == [rig.adapter.transaction_id(raw)]
    assert {absence.found for absence in await rig.adapter.absence(found.outcomes[0].tx)} == {True}


async def test_the_pools_names_for_refusals_are_the_adapters(rig: EvmRig) -> None:
    hot, poor = rig.new_address(), rig.new_address()
    await rig.fund(hot, rig.native, ETHER)
    await rig.finalize()
    payments = (Payment(source=hot, recipient=poor, token=NATIVE, amount=5),)
    draft = await rig.adapter.draft(hot, payments, nonce=0, blockhash=None, tokens=())
    broke = msgspec.structs.replace(
        draft, sender=poor, payments=(Payment(source=poor, recipient=hot, token=NATIVE, amount=5),)
    )
    cheap = msgspec.structs.replace(draft, parameters={**draft.parameters, "max_fee": "1", "max_priority_fee": "1"})
    for refused, code in ((broke, "insufficient_funds"), (cheap, "underpriced")):
        message = rig.adapter.compose(refused)
        sent = await rig.adapter.broadcast(
            rig.adapter.attach(message, {refused.sender: rig.sign(message, refused.sender)})
        )
        assert (sent.result, sent.code) == (Sent.REFUSED, code), sent.detail
    malformed = await rig.adapter.broadcast(b"\x02 nonsense")
    assert (malformed.result, malformed.code) == (Sent.REFUSED, "malformed"), malformed.detail
    token_payment = (Payment(source=hot, recipient=poor, token=rig.token.address, amount=5),)
    with pytest.raises(Permanent, match="would_fail"):
        await rig.adapter.draft(hot, token_payment, nonce=0, blockhash=None, tokens=(rig.token,))


async def test_another_cursor_by_everybodys_word_stops_the_chain_and_nobody_is_blamed(rig: EvmRig) -> None:
    cursor = (await rig.adapter.head()).finalized
    await rig.finalize()
    with pytest.raises(Permanent, match="parent_mismatch"):
        await rig.adapter.scan(rig.another(cursor), rig.watch, 100)
    await rig.adapter.identify()


async def test_when_no_node_can_be_reached_nothing_was_sent(rig: EvmRig) -> None:
    hot = rig.new_address()
    draft = await rig.adapter.draft(hot, (), nonce=0, blockhash=None, tokens=())
    message = rig.adapter.compose(draft)
    raw = rig.adapter.attach(message, {hot: rig.sign(message, hot)})
    await rig.anvil.__aexit__(None, None, None)
    with pytest.raises(Retryable, match="unreachable"):
        await rig.adapter.broadcast(raw)
    with pytest.raises(NoProvider):
        await rig.adapter.identify()
    with pytest.raises(Retryable):
        await rig.adapter.head()
