"""The client's API as one table of routes and the application made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from custody.api import answers, openapi
from custody.api.auth import ReadGate
from custody.api.ports import ApiLimits, ClientDeps
from custody.api.reads import Reads
from custody.api.requests import Query
from custody.api.routing import Answer, Auth, Parameter, Route, install
from custody.api.wire import encode
from custody.api.writes import Writes
from custody.ledger import transactions as tx
from custody.ledger.lifecycle import DepositState, WithdrawalState

ACCOUNT = Parameter("account", "only this account's", {"type": "string"})
CHAIN = Parameter("chain", "only on this chain", {"type": "string"})
AFTER = Parameter("after", "what follows this number", {"type": "integer", "minimum": 0, "default": 0})


def _limit(limits: ApiLimits) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": limits.page_most, "default": limits.page}
    return Parameter("limit", "rows of a page", schema)


def _state(kind: type[DepositState | WithdrawalState]) -> Parameter:
    return Parameter("state", "only in this state", {"type": "string", "enum": [str(item) for item in kind]})


def routes(deps: ClientDeps) -> tuple[Route, ...]:
    """Every route of the client's API, the OpenAPI document's own included."""

    async def describe(request: web.Request) -> Answer:
        Query(request, ())
        return Answer(text)

    described = Route(
        method="GET",
        path="/v1/openapi.json",
        about="This document.",
        auth=Auth.OPEN,
        handler=describe,
        answers={200: dict},
    )
    table = (*_writes(Writes(deps)), *_reads(Reads(deps), deps.limits), *_open(Reads(deps)), described)
    text = encode(openapi.document(table, deps.facts().version))
    return table


def _writes(writes: Writes) -> tuple[Route, ...]:
    return (
        Route(
            method="POST",
            path="/v1/accounts/{account}/addresses",
            about="A deposit address on a chain; the first one opens the account.",
            auth=Auth.ENVELOPE,
            handler=writes.address,
            says=tx.AddressRequested,
            answers={201: answers.Address, 202: answers.Address},
        ),
        Route(
            method="POST",
            path="/v1/withdrawals",
            about="A withdrawal under an id the client chooses.",
            auth=Auth.ENVELOPE,
            handler=writes.withdrawal,
            says=tx.WithdrawalRequested,
            answers={201: answers.Withdrawal},
        ),
        Route(
            method="POST",
            path="/v1/withdrawals/{id}/cancel",
            about="Call a withdrawal off before its payment is prepared.",
            auth=Auth.ENVELOPE,
            handler=writes.cancel,
            says=tx.WithdrawalCancelled,
            answers={200: answers.Withdrawal},
        ),
        Route(
            method="POST",
            path="/v1/transfers",
            about="An atomic batch of transfers between accounts, all or none.",
            auth=Auth.ENVELOPE,
            handler=writes.transfer,
            says=tx.TransferBatch,
            answers={201: answers.Transfer},
        ),
    )


def _reads(reads: Reads, limits: ApiLimits) -> tuple[Route, ...]:
    limit = _limit(limits)
    wait_schema = {"type": "integer", "minimum": 0, "maximum": limits.poll_seconds, "default": 0}
    wait = Parameter("wait", "seconds to wait for the first event", wait_schema)

    def read(
        path: str,
        about: str,
        handler: Callable[[web.Request], Awaitable[Answer]],
        shape: type,
        *parameters: Parameter,
        tail: bool = False,
    ) -> Route:
        return Route(
            method="GET",
            path=path,
            about=about,
            auth=Auth.READ,
            handler=handler,
            answers={200: shape},
            parameters=parameters,
            tail=tail,
        )

    return (
        read("/v1/accounts/{account}/addresses", "Deposit addresses.", reads.addresses, answers.Addresses),
        read("/v1/accounts/{account}/balances", "Balances in every asset.", reads.balances, answers.Balances),
        read(
            "/v1/deposits",
            "Deposits, oldest first.",
            reads.deposits,
            answers.Deposits,
            *(ACCOUNT, CHAIN, _state(DepositState), AFTER, limit),
        ),
        read("/v1/deposits/{id}", "One deposit.", reads.deposit, answers.Deposit, tail=True),
        read(
            "/v1/withdrawals",
            "Withdrawals, oldest first.",
            reads.withdrawals,
            answers.Withdrawals,
            *(ACCOUNT, CHAIN, _state(WithdrawalState), AFTER, limit),
        ),
        read("/v1/withdrawals/{id}", "One withdrawal.", reads.withdrawal, answers.Withdrawal),
        read("/v1/transfers/{id}", "One transfer batch.", reads.transfer, answers.Transfer),
        read("/v1/events", "Events after a number, gapless.", reads.events, answers.Events, AFTER, limit, wait),
        read("/v1/sequence", "The asking key's next number.", reads.sequence, answers.SequenceAnswer),
    )


def _open(reads: Reads) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            path="/v1/status",
            about="What is paused and why; open to anybody.",
            auth=Auth.OPEN,
            handler=reads.status,
            answers={200: answers.Status},
        ),
        Route(
            method="GET",
            path="/healthz",
            about="Whether the process answers.",
            auth=Auth.OPEN,
            handler=reads.healthz,
            answers={200: answers.Alive},
        ),
        Route(
            method="GET",
            path="/readyz",
            about="Whether the daemon does its work.",
            auth=Auth.OPEN,
            handler=reads.readyz,
            answers={200: answers.Ready, 503: answers.Ready},
        ),
        Route(
            method="GET",
            path="/metrics",
            about="Prometheus metrics.",
            auth=Auth.OPEN,
            handler=reads.metrics,
            answers={200: None},
        ),
    )


def client_app(deps: ClientDeps) -> web.Application:
    """The application; serve it with `custody.api.serving`, which sets the server's own limits."""
    gate = ReadGate(deps.books, deps.clock, deps.limits.nonces)

    def admit(request: web.Request, route: Route) -> None:
        if route.auth is Auth.READ:
            gate.admit(request.method, request.raw_path, request.headers)

    return install(routes(deps), deps.limits.in_flight, admit)
