"""The operators' API over a unix socket, for `custodyctl`.

Whoever may open the socket may look and may tighten: the kernel names their uid, and the relay key signs. What loosens,
or what policy asks a person for, comes as an envelope signed with that person's own key and is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from custody.api import admin_answers as shapes
from custody.api import admin_present, admin_providers, answers, present
from custody.api.errors import ApiCode, ApiProblem, problem
from custody.api.ports import AdminDeps, HoldWords
from custody.api.requests import Query, decode, path_id, peer_uid, read_body
from custody.api.routing import Answer, Auth, Route, install
from custody.api.writes import parse_envelope, submit
from custody.ledger import transactions as tx
from custody.ledger.forms import MAX_TEXT
from custody.ledger.holds import in_force
from custody.ledger.identifiers import is_identifier
from custody.ledger.lifecycle import OPEN_WITHDRAWALS, DepositState, WithdrawalState
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from custody.sequencer import Busy, Receipt, Stopped

PAGING = ("account", "chain", "state", "after", "limit")
MAX_ORDER = 10**15
MAX_SECONDS = 366 * 86_400

_pause = msgspec.json.Decoder(shapes.PauseRequest)
_cordon = msgspec.json.Decoder(shapes.CordonRequest)
_brake = msgspec.json.Decoder(shapes.BrakeRequest)
_release = msgspec.json.Decoder(shapes.ReleaseRequest)
_reconcile = msgspec.json.Decoder(shapes.ReconcileRequest)


def _is_persons_act(said: tx.Transaction) -> bool:
    """What an operator or admin says; the daemons' and the clients' transactions have their own ways in."""
    return Role.OPERATOR in said.ROLES or Role.ADMIN in said.ROLES


class Operations:
    """Handlers; each is the `handler` of one route."""

    __slots__ = ("_deps",)

    def __init__(self, deps: AdminDeps) -> None:
        self._deps = deps

    async def status(self, request: web.Request) -> Answer:
        """The whole at a glance."""
        Query(request, ())
        return Answer(admin_present.status(self._deps))

    async def holds(self, request: web.Request) -> Answer:
        """Holds in force, or with `history=1` past ones too."""
        query = Query(request, ("history",))
        return Answer(admin_present.holds(self._deps, history=query.one_of("history", ("0", "1")) == "1"))

    async def providers(self, request: web.Request) -> Answer:
        """All providers."""
        Query(request, ())
        return Answer(admin_providers.providers(self._deps))

    async def cordon(self, request: web.Request) -> Answer:
        """A hold on a provider, signed by the relay for the uid at the other end."""
        asked = decode(await read_body(request, self._deps.limits.body_seconds), _cordon)
        return Answer(await admin_providers.cordon(self._deps, asked, f"uid:{peer_uid(request)}"))

    async def deposits(self, request: web.Request) -> Answer:
        """A page of deposits."""
        query, limits = Query(request, PAGING), self._deps.limits
        page = self._deps.history.deposits(
            account=query.account(),
            chain=query.chain(),
            state=query.one_of("state", list(DepositState)),
            after=query.number("after", default=0, most=MAX_ORDER),
            limit=query.number("limit", default=limits.page, most=limits.page_most, least=1),
        )
        rows = (present.deposit(self._deps.books.state, self._deps.history, name) for name in page.ids)
        return Answer(answers.Deposits(deposits=tuple(rows), after=page.after))

    async def deposit(self, request: web.Request) -> Answer:
        """One deposit."""
        name = request.match_info["id"]
        if self._deps.books.state.deposits.get(name) is None:
            raise problem(ApiCode.UNKNOWN_DEPOSIT)
        return Answer(present.deposit(self._deps.books.state, self._deps.history, name))

    async def withdrawals(self, request: web.Request) -> Answer:
        """A page of withdrawals; without a filter those that are not over, which is what people look for."""
        query, limits = Query(request, PAGING), self._deps.limits
        state = query.one_of("state", list(WithdrawalState))
        account, chain = query.account(), query.chain()
        after = query.number("after", default=0, most=MAX_ORDER)
        limit = query.number("limit", default=limits.page, most=limits.page_most, least=1)
        names: tuple[str, ...]
        if not account and not chain and not after and (not state or state in OPEN_WITHDRAWALS):
            names, following = self._deps.history.open_withdrawals(state=state, limit=limit), None
        else:
            page = self._deps.history.withdrawals(account=account, chain=chain, state=state, after=after, limit=limit)
            names, following = page.ids, page.after
        rows = (present.withdrawal(self._deps.books.state, self._deps.history, name) for name in names)
        return Answer(answers.Withdrawals(withdrawals=tuple(rows), after=following))

    async def withdrawal(self, request: web.Request) -> Answer:
        """One withdrawal."""
        name = path_id(request, "id")
        if self._deps.books.state.withdrawals.get(name) is None:
            raise problem(Rejection.UNKNOWN_WITHDRAWAL)
        return Answer(present.withdrawal(self._deps.books.state, self._deps.history, name))

    async def account(self, request: web.Request) -> Answer:
        """One account."""
        name = path_id(request, "id")
        if self._deps.books.state.accounts.get(name) is None:
            raise problem(Rejection.UNKNOWN_ACCOUNT)
        return Answer(admin_present.account(self._deps, name))

    async def wallets(self, request: web.Request) -> Answer:
        """The wallet book."""
        Query(request, ())
        return Answer(admin_present.wallets(self._deps))

    async def ledger(self, request: web.Request) -> Answer:
        """Which ledger, and up to where."""
        Query(request, ())
        return Answer(admin_present.tip(self._deps))

    async def sequence(self, request: web.Request) -> Answer:
        """A key's next sequence number."""
        key = Query(request, ("key",)).text("key")
        if self._deps.books.state.keys.get(key) is None:
            raise problem(Rejection.UNKNOWN_KEY)
        number = self._deps.ledger.next_sequence(key)
        return Answer(answers.SequenceAnswer(key=key, next=number, ledger=self._deps.books.state.ledger))

    async def pause(self, request: web.Request) -> Answer:
        """A hold, signed by the relay for the uid at the other end."""
        asked = decode(await read_body(request, self._deps.limits.body_seconds), _pause)
        if not 0 <= asked.seconds <= MAX_SECONDS:
            raise problem(Rejection.FIELD_OUT_OF_BOUNDS)
        if asked.account and not is_identifier(asked.account):
            raise problem(Rejection.IDENTIFIER_MALFORMED)
        words = HoldWords(
            hold=asked.hold,
            chain=asked.chain,
            asset=asked.asset,
            account=asked.account,
            direction=asked.direction,
            cause="pause",
            reason=asked.reason,
            actor=f"uid:{peer_uid(request)}",
            until=self._deps.clock() + asked.seconds * 1000 if asked.seconds else 0,
        )
        try:
            answer = await self._deps.relay.hold(words)
        except Busy as exc:
            raise problem(ApiCode.BUSY) from exc
        except Stopped as exc:
            raise problem(ApiCode.STORAGE) from exc
        if isinstance(answer, Rejection):
            raise problem(answer)
        return _receipt(answer, asked.hold)

    async def brake(self, request: web.Request) -> Answer:
        """Latch at once."""
        asked = decode(await read_body(request, self._deps.limits.body_seconds), _brake)
        if not asked.reason.strip() or len(asked.reason) > MAX_TEXT:
            raise problem(Rejection.FIELD_OUT_OF_BOUNDS)
        latch = await self._deps.brake.pull(actor=f"uid:{peer_uid(request)}", reason=asked.reason)
        shown = shapes.Latch(cause=latch.cause, reason=latch.reason, actor=latch.actor, since=latch.since)
        return Answer(shown)

    async def release(self, request: web.Request) -> Answer:
        """Record the release, then open the latch. The envelope must lift the brake's last standing hold."""
        asked = decode(await read_body(request, self._deps.limits.body_seconds), _release)
        if self._deps.brake.latched() is None:
            raise problem(ApiCode.NOT_LATCHED)
        standing = [name for name, hold in in_force(self._deps.books.state) if hold.cause == "brake"]
        if not standing:
            raise problem(ApiCode.BRAKE_NOT_RECORDED)
        if not asked.envelope:
            raise problem(ApiCode.NEEDS_SIGNATURE)
        envelope, said = parse_envelope(asked.envelope.encode())
        if not isinstance(said, tx.HoldLifted) or said.hold not in standing:
            raise problem(ApiCode.BODY_MALFORMED, f"The envelope must lift {' or '.join(standing)}.")
        receipt = await submit(self._deps.ledger, envelope)
        if all(name == said.hold for name in standing):
            await self._deps.brake.release(actor=envelope.key, reason=asked.reason)
        return _receipt(receipt, said.hold)

    async def envelope(self, request: web.Request) -> Answer:
        """What a person signed, passed on as it is: 200, or 202 while other admins must say the same."""
        envelope, said = parse_envelope(await read_body(request, self._deps.limits.body_seconds))
        if not _is_persons_act(said):
            raise problem(ApiCode.TYPE_NOT_HERE, "This way is for what operators and admins sign.")
        if isinstance(said, tx.HoldLifted):
            row = self._deps.books.state.holds.get(said.hold)
            if row is not None and row.cause == "brake":
                raise problem(ApiCode.TYPE_NOT_HERE, "The brake is released by /admin/brake/release.")
        return _receipt(await submit(self._deps.ledger, envelope))

    async def reconcile(self, request: web.Request) -> Answer:
        """Compare chain and books now."""
        asked = decode(await read_body(request, self._deps.limits.body_seconds), _reconcile)
        if asked.chain and self._deps.books.state.chains.get(asked.chain) is None:
            raise problem(Rejection.UNKNOWN_CHAIN)
        rows = await self._deps.reconciler.reconcile(asked.chain)
        return Answer(shapes.Reconciliation(agreed=all(row.result == "equal" for row in rows), rows=rows))


def _receipt(receipt: Receipt, hold: str = "") -> Answer:
    if not receipt.ok:
        raise ApiProblem(receipt.code)
    said = shapes.Said(code=receipt.code, height=receipt.height, repeat=receipt.repeat, hold=hold)
    return Answer(said, 202 if receipt.code == "endorsed" else 200)


def routes(deps: AdminDeps) -> tuple[Route, ...]:
    """Every route of the operators' API."""
    do = Operations(deps)

    def route(
        method: str,
        path: str,
        handler: Callable[[web.Request], Awaitable[Answer]],
        shape: type,
        *,
        tail: bool = False,
    ) -> Route:
        about = (handler.__doc__ or "").strip()
        return Route(
            method=method,
            path=path,
            about=about,
            auth=Auth.SOCKET,
            handler=handler,
            answers={200: shape},
            tail=tail,
        )

    return (
        route("GET", "/admin/status", do.status, shapes.Status),
        route("GET", "/admin/holds", do.holds, shapes.Holds),
        route("GET", "/admin/providers", do.providers, shapes.Providers),
        route("GET", "/admin/deposits", do.deposits, answers.Deposits),
        route("GET", "/admin/deposits/{id}", do.deposit, answers.Deposit, tail=True),
        route("GET", "/admin/withdrawals", do.withdrawals, answers.Withdrawals),
        route("GET", "/admin/withdrawals/{id}", do.withdrawal, answers.Withdrawal),
        route("GET", "/admin/accounts/{id}", do.account, shapes.Account),
        route("GET", "/admin/wallets", do.wallets, shapes.Wallets),
        route("GET", "/admin/ledger", do.ledger, shapes.LedgerTip),
        route("GET", "/admin/sequence", do.sequence, answers.SequenceAnswer),
        route("POST", "/admin/providers/cordon", do.cordon, shapes.Cordons),
        route("POST", "/admin/pause", do.pause, shapes.Said),
        route("POST", "/admin/brake", do.brake, shapes.Latch),
        route("POST", "/admin/brake/release", do.release, shapes.Said),
        route("POST", "/admin/envelope", do.envelope, shapes.Said),
        route("POST", "/admin/reconcile", do.reconcile, shapes.Reconciliation),
    )


def admin_app(deps: AdminDeps) -> web.Application:
    """The application; serve it on a unix socket with `custody.api.serving`."""

    def admit(request: web.Request, route: Route) -> None:
        """The socket's file mode has decided already."""

    return install(routes(deps), deps.limits.in_flight, admit)
