"""The client's writes: a signed envelope in, the ledger's durable answer out.

What the client signed goes to the sequencer byte for byte. Before that only its form is looked at, and, for a
withdrawal, whether its recipient can be paid: the ledger can't know that, and a payment that can't arrive should be
refused while the client is still there to hear it.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

from aiohttp import web

from chains.errors import AddressError, ChainError
from custody.api import answers, present
from custody.api.errors import ApiCode, ApiProblem, address_problem, problem
from custody.api.ports import ClientDeps, Ledger
from custody.api.requests import Query, path_id, read_body
from custody.api.routing import Answer
from custody.envelope import envelopes
from custody.envelope.envelopes import Envelope
from custody.envelope.errors import EnvelopeError
from custody.ledger import encoding, transition
from custody.ledger import transactions as tx
from custody.ledger.rejections import Rejection
from custody.sequencer import Busy, Receipt, Stopped

T = TypeVar("T", bound=tx.Transaction)


def parse_envelope(body: bytes) -> tuple[Envelope, tx.Transaction]:
    """The envelope in a body and what its payload says; the signature is not looked at. Raises `ApiProblem`."""
    try:
        envelope = envelopes.decode(body)
    except EnvelopeError as exc:
        raise ApiProblem(exc.code, exc.message) from exc
    said = encoding.decode(envelope.payload)
    if isinstance(said, Rejection):
        where = f" ({encoding.explain(envelope.payload)})" if said is Rejection.PAYLOAD_MALFORMED else ""
        raise problem(said, said.advice + where)
    return envelope, said


async def submit(ledger: Ledger, envelope: Envelope) -> Receipt:
    """The receipt of a transaction that the ledger accepted. Raises `ApiProblem` for everything else."""
    try:
        answer = await ledger.submit(envelope)
    except Busy as exc:
        raise problem(ApiCode.BUSY) from exc
    except Stopped as exc:
        raise problem(ApiCode.STORAGE) from exc
    if isinstance(answer, Rejection):
        raise problem(answer)
    if not answer.ok:
        raise ApiProblem(answer.code)
    return answer


class Writes:
    """Handlers; each is the `handler` of one route."""

    __slots__ = ("_deps",)

    def __init__(self, deps: ClientDeps) -> None:
        self._deps = deps

    async def _hear(self, request: web.Request, kind: type[T]) -> tuple[Envelope, T]:
        Query(request, ())
        envelope, said = parse_envelope(await read_body(request, self._deps.limits.body_seconds))
        if not isinstance(said, kind):
            raise problem(ApiCode.TYPE_NOT_HERE, f"This path takes {kind.__struct_config__.tag}.")
        return envelope, said

    async def address(self, request: web.Request) -> Answer:
        """201 with the address, or 202 while signer and scanner have not answered."""
        account = path_id(request, "account")
        envelope, said = await self._hear(request, tx.AddressRequested)
        if said.account != account:
            raise problem(ApiCode.PATH_MISMATCH)
        await submit(self._deps.ledger, envelope)
        row = await self._await_address(account, said.chain)
        return Answer(row, 201 if row.state == present.ASSIGNED else 202)

    async def _await_address(self, account: str, chain: str) -> answers.Address:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._deps.limits.address_seconds
        while True:
            row = present.address(self._deps.books.state, account, chain)
            assert row is not None, "the ledger accepted the request"
            left = deadline - loop.time()
            if row.state == present.ASSIGNED or left <= 0:
                return row
            await self._deps.feed.beyond(self._deps.feed.last, left)

    async def withdrawal(self, request: web.Request) -> Answer:
        """201 with the withdrawal as it stands; the same request again gets the same answer."""
        envelope, said = await self._hear(request, tx.WithdrawalRequested)
        if self._wants_recipient_checked(envelope, said):
            await self._check_recipient(said)
        await submit(self._deps.ledger, envelope)
        return Answer(present.withdrawal(self._deps.books.state, self._deps.history, said.id), 201)

    def _wants_recipient_checked(self, envelope: Envelope, said: tx.WithdrawalRequested) -> bool:
        """False where the ledger has the answer by itself, above all for a repeat, whose first answer stands. Raises
        `ApiProblem` for what is not admissible at all: strangers don't make us ask providers."""
        state = self._deps.books.state
        known = transition.read(state, envelope.key, envelope.payload)
        if isinstance(known, Rejection):
            raise problem(known)
        _, key = known
        if not envelopes.is_signed(envelope, bytes.fromhex(key.public)):
            raise problem(Rejection.SIGNATURE_WRONG)
        asset = state.assets.get(said.asset)
        return (
            any(role in said.ROLES for role in key.roles)
            and not self._deps.ledger.was_said(envelope.key, said.seq)
            and state.withdrawals.get(said.id) is None
            and asset is not None
            and asset.on(said.chain) is not None
            and state.addresses.get(said.chain, said.to) is None
        )

    async def _check_recipient(self, said: tx.WithdrawalRequested) -> None:
        try:
            self._deps.recipients.check_address(said.chain, said.to)
            async with asyncio.timeout(self._deps.limits.recipient_seconds):
                await self._deps.recipients.check_recipient(
                    said.chain, said.to, said.asset, create_account=said.create_account
                )
        except AddressError as exc:
            raise address_problem(exc.code, exc.message) from exc
        except (ChainError, TimeoutError):
            # No provider could say. The form is right, and the composer asks again before anything is signed.
            return

    async def cancel(self, request: web.Request) -> Answer:
        """200 with the withdrawal, cancelled."""
        name = path_id(request, "id")
        envelope, said = await self._hear(request, tx.WithdrawalCancelled)
        if said.id != name:
            raise problem(ApiCode.PATH_MISMATCH)
        await submit(self._deps.ledger, envelope)
        return Answer(present.withdrawal(self._deps.books.state, self._deps.history, name))

    async def transfer(self, request: web.Request) -> Answer:
        """201 with the batch, booked as a whole."""
        envelope, said = await self._hear(request, tx.TransferBatch)
        await submit(self._deps.ledger, envelope)
        return Answer(present.transfer(self._deps.history, said.id), 201)
