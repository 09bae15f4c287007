"""The client's questions, answered from the views: durable facts only."""

from __future__ import annotations

import asyncio

from aiohttp import web

from custody.api import answers, present
from custody.api.errors import ApiCode, problem
from custody.api.ports import ClientDeps
from custody.api.requests import Query, path_id
from custody.api.routing import Answer
from custody.ledger.lifecycle import DepositState, WithdrawalState
from custody.ledger.rejections import Rejection

MAX_SEQUENCE = 10**15
PAGING = ("account", "chain", "state", "after", "limit")
POLLING = ("after", "limit", "wait")
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Reads:
    """Handlers; each is the `handler` of one route."""

    __slots__ = ("_deps",)

    def __init__(self, deps: ClientDeps) -> None:
        self._deps = deps

    def _account(self, request: web.Request) -> str:
        account = path_id(request, "account")
        if self._deps.books.state.accounts.get(account) is None:
            raise problem(Rejection.UNKNOWN_ACCOUNT)
        return account

    async def addresses(self, request: web.Request) -> Answer:
        """An account's deposit addresses."""
        Query(request, ())
        return Answer(present.addresses(self._deps.books.state, self._account(request)))

    async def balances(self, request: web.Request) -> Answer:
        """An account's balances."""
        Query(request, ())
        link = self._deps.books.link
        height = -1 if link is None else link.height
        return Answer(present.balances(self._deps.books.state, self._account(request), height))

    async def deposits(self, request: web.Request) -> Answer:
        """A page of deposits."""
        query, limits = Query(request, PAGING), self._deps.limits
        page = self._deps.history.deposits(
            account=query.account(),
            chain=query.chain(),
            state=query.one_of("state", list(DepositState)),
            after=query.number("after", default=0, most=MAX_SEQUENCE),
            limit=query.number("limit", default=limits.page, most=limits.page_most, least=1),
        )
        state, history = self._deps.books.state, self._deps.history
        rows = tuple(present.deposit(state, history, name) for name in page.ids)
        return Answer(answers.Deposits(deposits=rows, after=page.after))

    async def deposit(self, request: web.Request) -> Answer:
        """One deposit; its id stands in the path as it is, or with its slashes escaped."""
        Query(request, ())
        name = request.match_info["id"]
        if self._deps.books.state.deposits.get(name) is None:
            raise problem(ApiCode.UNKNOWN_DEPOSIT)
        return Answer(present.deposit(self._deps.books.state, self._deps.history, name))

    async def withdrawals(self, request: web.Request) -> Answer:
        """A page of withdrawals."""
        query, limits = Query(request, PAGING), self._deps.limits
        page = self._deps.history.withdrawals(
            account=query.account(),
            chain=query.chain(),
            state=query.one_of("state", list(WithdrawalState)),
            after=query.number("after", default=0, most=MAX_SEQUENCE),
            limit=query.number("limit", default=limits.page, most=limits.page_most, least=1),
        )
        state, history = self._deps.books.state, self._deps.history
        rows = tuple(present.withdrawal(state, history, name) for name in page.ids)
        return Answer(answers.Withdrawals(withdrawals=rows, after=page.after))

    async def withdrawal(self, request: web.Request) -> Answer:
        """One withdrawal."""
        Query(request, ())
        name = path_id(request, "id")
        if self._deps.books.state.withdrawals.get(name) is None:
            raise problem(Rejection.UNKNOWN_WITHDRAWAL)
        return Answer(present.withdrawal(self._deps.books.state, self._deps.history, name))

    async def transfer(self, request: web.Request) -> Answer:
        """One transfer batch."""
        Query(request, ())
        row = present.transfer(self._deps.history, path_id(request, "id"))
        if row is None:
            raise problem(ApiCode.UNKNOWN_TRANSFER)
        return Answer(row)

    async def events(self, request: web.Request) -> Answer:
        """Events after a number; with `wait`, not before there is one or the time is over."""
        query, limits, feed = Query(request, POLLING), self._deps.limits, self._deps.feed
        after = query.number("after", default=0, most=MAX_SEQUENCE)
        limit = query.number("limit", default=limits.page, most=limits.page_most, least=1)
        wait = query.number("wait", default=0, most=limits.poll_seconds)
        if wait and feed.last <= after:
            await feed.beyond(after, wait)
        found = present.events(self._deps.books.state, feed.page(after, limit))
        return Answer(answers.Events(events=found, last=feed.last))

    async def sequence(self, request: web.Request) -> Answer:
        """The asking key's next sequence number."""
        Query(request, ())
        key = request.headers["Custody-Key"]
        number = self._deps.ledger.next_sequence(key)
        return Answer(answers.SequenceAnswer(key=key, next=number, ledger=self._deps.books.state.ledger))

    async def status(self, request: web.Request) -> Answer:
        """What is paused and why."""
        Query(request, ())
        return Answer(present.status(self._deps.books, self._deps.facts()))

    async def healthz(self, _request: web.Request) -> Answer:
        """The process answers; nothing more is claimed."""
        return Answer(answers.Alive(alive=True))

    async def readyz(self, _request: web.Request) -> Answer:
        """200 when the daemon does its work, 503 with what it waits for."""
        facts = self._deps.facts()
        return Answer(answers.Ready(ready=facts.ready, waiting_for=facts.waiting_for), 200 if facts.ready else 503)

    async def metrics(self, _request: web.Request) -> Answer:
        """Prometheus' text format. Others work in between: a scrape must not keep a broadcast waiting."""
        told: list[bytes] = []
        for piece in self._deps.metrics():
            told.append(piece)
            await asyncio.sleep(0)
        return Answer(b"".join(told), content_type=METRICS_TYPE)
