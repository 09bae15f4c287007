"""Whom the daemon asks and whom it believes, as an operator sees it; and the cordon, which keeps a provider out.

A cordon is a hold of the ledger, so that it is on record and outlives a restart; the pool follows it. What stands here
is read from both: an operator who has just set one sees it, whether the pool has caught up or not.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from chains.pool.breaker import State as Breaker
from chains.pool.events import ProviderHealth
from custody.api import admin_answers as shapes
from custody.api import present
from custody.api.errors import ApiCode, ApiProblem, problem
from custody.api.ports import AdminDeps, HoldWords
from custody.ledger.holds import in_force
from custody.ledger.rejections import Rejection
from custody.ledger.state import Hold, State
from custody.sequencer import Busy, Stopped
from custody.views.facts import ChainFacts, Facts

CORDON = "cordon"


def cordons(state: State) -> dict[tuple[str, str], dict[str, Hold]]:
    """(chain, provider) → the holds on it, by id."""
    found: dict[tuple[str, str], dict[str, Hold]] = {}
    for name, hold in in_force(state):
        if hold.provider:
            found.setdefault((hold.chain, hold.provider), {})[name] = hold
    return found


def truth(row: ChainFacts | None, usable: int) -> str:
    """What the number of a chain's providers means for what is believed, in words; `usable` may be asked now."""
    if row is None or not row.providers:
        return "no provider is configured: nothing is read here, and nothing sent"
    count = len(row.providers)
    if count == 1:
        said = "one provider: its word alone is taken for truth"
    elif row.quorum == 0:
        said = f"{count} providers"
    elif row.quorum == 1:
        said = f"{count} providers: the word of any one of them alone is taken for truth"
    else:
        said = f"{row.quorum} of {count} providers must say the same before it is believed"
    if usable < max(row.quorum, 1):
        said += f"; {usable or 'none'} can be asked now: nothing new is believed"
    return said


def chains(state: State, facts: Facts) -> tuple[shapes.ChainStatus, ...]:
    """What anybody sees of every chain, and whom we believe there."""
    known = {row.chain: row for row in facts.chains}
    found = []
    for shown in present.chains(state, facts):
        row = known.get(shown.chain)
        found.append(
            shapes.ChainStatus(
                **msgspec.structs.asdict(shown),
                quorum=row.quorum if row else 0,
                truth=truth(row, shown.usable),
                trouble=row.trouble if row else "",
            )
        )
    return tuple(found)


def providers(deps: AdminDeps) -> shapes.Providers:
    """All of them, by chain."""
    facts, held = deps.facts(), cordons(deps.books.state)
    rows: list[shapes.Provider] = []
    together: list[shapes.ChainProviders] = []
    for chain in facts.chains:
        believed = [one for one in chain.providers if not (one.integrity_breaker or (chain.chain, one.name) in held)]
        best, final = _best(one.latest for one in believed), _best(one.finalized for one in believed)
        rows.extend(_provider(chain, one, best, final, held) for one in chain.providers)
        waits = dict(chain.waits)
        usable = present.usable(chain, frozenset(held))
        together.append(
            shapes.ChainProviders(
                chain=chain.chain,
                providers=len(chain.providers),
                usable=usable,
                quorum=chain.quorum,
                truth=truth(chain, usable),
                trouble=chain.trouble,
                latest=best,
                finalized=final,
                queue=tuple(
                    shapes.Waiting(priority=priority, calls=calls, oldest_seconds=waits.get(priority))
                    for priority, calls in chain.queue
                ),
            )
        )
    return shapes.Providers(providers=tuple(rows), chains=tuple(together))


def _best(heights: Iterable[int | None]) -> int | None:
    return max((height for height in heights if height is not None), default=None)


def _behind(best: int | None, height: int | None) -> int | None:
    return None if best is None or height is None else best - height


def _provider(
    chain: ChainFacts,
    one: ProviderHealth,
    best: int | None,
    final: int | None,
    held: dict[tuple[str, str], dict[str, Hold]],
) -> shapes.Provider:
    holds = held.get((chain.chain, one.name), {})
    why = one.cordoned or next((hold.reason for hold in holds.values()), "")
    breakers = {"error": one.error_breaker, "auth": one.auth_breaker, "integrity": one.integrity_breaker}
    return shapes.Provider(
        chain=chain.chain,
        name=one.name,
        host=one.host,
        account=one.account,
        state=_state(one, why, proven=any(hold.cause == "integrity" for hold in holds.values())),
        may_ask=one.may_ask,
        reason=one.reason,
        breakers=", ".join(f"{name} {state.name.lower()}" for name, state in breakers.items() if state),
        error_breaker=one.error_breaker.name.lower(),
        auth_breaker=one.auth_breaker.name.lower(),
        integrity_breaker=one.integrity_breaker.name.lower(),
        cordoned=why,
        holds=tuple(holds),
        last_error=one.last_error,
        last_error_message=one.last_error_message,
        last_error_ago=one.last_error_ago,
        last_success_ago=one.last_success_ago,
        failing_for=one.failing_for,
        frozen_for=one.frozen_for,
        unknown_errors=one.unknown_errors,
        unsupported=one.unsupported,
        doubts={code: times for provider, code, times in sorted(chain.doubts) if provider == one.name},
        in_flight=one.in_flight,
        concurrency=one.concurrency,
        learned_concurrency=one.learned_concurrency,
        rate=f"{one.learned_rate:.1f}/{one.contract_rate:.1f}",
        learned_rate=one.learned_rate,
        contract_rate=one.contract_rate,
        tokens=one.tokens,
        latest=one.latest,
        finalized=one.finalized,
        lag=_behind(best, one.latest),
        finalized_lag=_behind(final, one.finalized),
    )


def _state(one: ProviderHealth, cordoned: str, *, proven: bool) -> str:
    """The first of what is wrong, the gravest first; see `shapes.Provider`. `proven`: the ledger holds it for a lie,
    which outlives the process that proved it."""
    conditions = (
        ("quarantined", proven or one.integrity_breaker is Breaker.OPEN),
        ("locked_out", one.auth_breaker is Breaker.OPEN),
        ("cordoned", bool(cordoned)),
        ("open", one.error_breaker is Breaker.OPEN),
        ("frozen", one.frozen_for > 0.0),
        ("spent", not one.may_ask),
        ("probing", one.error_breaker is Breaker.HALF_OPEN),
        ("failing", one.failing_for is not None),
    )
    return next((name for name, true in conditions if true), "ok")


async def cordon(deps: AdminDeps, asked: shapes.CordonRequest, actor: str) -> shapes.Cordons:
    """Set a hold on each provider of this name. Said twice it is one cordon, so what ends half done is said again.
    Raises `ApiProblem`."""
    known = {row.chain: row for row in deps.facts().chains}
    if asked.chain and asked.chain not in known:
        raise problem(Rejection.UNKNOWN_CHAIN)
    chosen = [
        row
        for name, row in known.items()
        if asked.chain in ("", name) and any(one.name == asked.provider for one in row.providers)
    ]
    if not chosen:
        raise problem(ApiCode.UNKNOWN_PROVIDER)
    return shapes.Cordons(cordons=tuple([await _cordon(deps, row, asked, actor) for row in chosen]))


async def _cordon(deps: AdminDeps, row: ChainFacts, asked: shapes.CordonRequest, actor: str) -> shapes.Cordon:
    standing = _standing(deps.books.state, row.chain, asked.provider)
    if standing:
        return _answer(deps, row, asked.provider, standing, -1)
    link = deps.books.link
    # Lifting a hold takes a block, so at one height a provider is cordoned once.
    hold = f"cordon:{row.chain}:{asked.provider}:{0 if link is None else link.height}"
    words = HoldWords(
        hold=hold,
        chain=row.chain,
        asset="",
        account="",
        direction="all",
        cause=CORDON,
        reason=asked.reason,
        actor=actor,
        until=0,
        provider=asked.provider,
    )
    try:
        answer = await deps.relay.hold(words)
    except Busy as exc:
        raise problem(ApiCode.BUSY) from exc
    except Stopped as exc:
        raise problem(ApiCode.STORAGE) from exc
    if isinstance(answer, Rejection):
        raise problem(answer)
    if not answer.ok:
        # Somebody else may have been quicker by a moment, with other words.
        standing = _standing(deps.books.state, row.chain, asked.provider)
        if not standing:
            raise ApiProblem(answer.code)
        return _answer(deps, row, asked.provider, standing, -1)
    return _answer(deps, row, asked.provider, hold, answer.height)


def _standing(state: State, chain: str, provider: str) -> str:
    """The id of the operators' cordon that stands; empty without one."""
    holds = cordons(state).get((chain, provider), {})
    return next((name for name, hold in holds.items() if hold.cause == CORDON), "")


def _answer(deps: AdminDeps, row: ChainFacts, provider: str, hold: str, height: int) -> shapes.Cordon:
    return shapes.Cordon(
        chain=row.chain,
        provider=provider,
        hold=hold,
        already=height < 0,
        height=height,
        warning=_warning(deps.books.state, row, provider),
    )


def _warning(state: State, row: ChainFacts, provider: str) -> str:
    """What is left does not suffice. Those whose return wants a person are not counted; an open breaker's is."""
    held = cordons(state)
    left = [
        one.name
        for one in row.providers
        if one.name != provider
        and (row.chain, one.name) not in held
        and not (one.cordoned or one.auth_breaker or one.integrity_breaker)
    ]
    if not left:
        return f"no provider of {row.chain} is left: nothing is read from it or sent to it until one is back"
    if len(left) < row.quorum:
        return (
            f"{len(left)} of {len(row.providers)} providers of {row.chain} left ({', '.join(left)}), and "
            f"{row.quorum} must say the same: nothing new is believed there until another is back"
        )
    return ""
