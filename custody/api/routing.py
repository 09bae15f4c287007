"""A route as data, and the middleware that spells answers and refusals: what both APIs have in common."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from custody.api import answers
from custody.api.errors import ApiCode, ApiProblem, problem
from custody.api.wire import encode
from custody.envelope.envelopes import MAX_BODY
from custody.ledger.transactions import Transaction

_log = logging.getLogger("custody.api")


class Auth(Enum):
    """Who may come: anybody, the signer of a read, the signer of an envelope, whoever may open the socket."""

    OPEN = "open"
    READ = "read"
    ENVELOPE = "envelope"
    SOCKET = "socket"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query. `schema` is its JSON Schema."""

    name: str
    about: str
    schema: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler says: `value` is a struct or plain data, or bytes of another `content_type`."""

    value: object
    status: int = 200
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`path` as documented; `tail` when its last part may contain slashes. `answers`: status → the struct it carries,
    None for what isn't JSON. `says`: the transaction an envelope's payload must be."""

    method: str
    path: str
    about: str
    auth: Auth
    handler: Callable[[web.Request], Awaitable[Answer]]
    answers: Mapping[int, type | None]
    parameters: tuple[Parameter, ...] = ()
    says: type[Transaction] | None = None
    tail: bool = False

    @property
    def pattern(self) -> str:
        """The path as the server matches it."""
        return self.path.removesuffix("}") + ":.+}" if self.tail else self.path

    @property
    def query(self) -> tuple[str, ...]:
        """The names of its parameters."""
        return tuple(parameter.name for parameter in self.parameters)


def spell(answer: Answer) -> web.Response:
    """The response of an answer."""
    body = answer.value if isinstance(answer.value, bytes) else encode(answer.value)
    return web.Response(
        body=body,
        status=answer.status,
        headers={
            "Content-Type": answer.content_type,
            "Cache-Control": "no-store",
            "Server": "custodyd",
            "X-Content-Type-Options": "nosniff",
        },
    )


def refuse(fault: ApiProblem, headers: Mapping[str, str] | None = None) -> web.Response:
    """The response of a refusal. A connection whose body was not read to its end is not used again."""
    row = fault.problem
    error = answers.ErrorBody(code=row.code, message=fault.message, transient=row.transient)
    response = spell(Answer(answers.Error(error=error), row.status))
    response.headers.update(headers or {})
    if row.status in (408, 413, 415):
        response.force_close()
    return response


def guard(in_flight: int) -> Middleware:
    """At most so many requests at work; every fault as JSON, whatever it was."""
    at_work = 0

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal at_work
        if at_work >= in_flight:
            return refuse(problem(ApiCode.BUSY), {"Retry-After": "1"})
        at_work += 1
        try:
            return await handler(request)
        except ApiProblem as fault:
            return refuse(fault)
        except web.HTTPMethodNotAllowed as exc:
            return refuse(problem(ApiCode.METHOD_NOT_ALLOWED), {"Allow": ", ".join(sorted(exc.allowed_methods))})
        except web.HTTPNotFound:
            return refuse(problem(ApiCode.NOT_FOUND))
        except web.HTTPException as exc:
            return refuse(problem(ApiCode.BODY_MALFORMED, exc.reason))
        except Exception:
            _log.exception("a handler failed", extra={"method": request.method, "resource": _resource(request)})
            return refuse(problem(ApiCode.INTERNAL))
        finally:
            at_work -= 1

    return guarded


def _resource(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical


def install(routes: tuple[Route, ...], in_flight: int, admit: Callable[[web.Request, Route], None]) -> web.Application:
    """An application of these routes. `admit` raises `ApiProblem` for a request that may not come in."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[guard(in_flight)])
    for route in routes:
        app.router.add_route(route.method, route.pattern, _serve(route, admit))
    return app


def _serve(route: Route, admit: Callable[[web.Request, Route], None]) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        admit(request, route)
        return spell(await route.handler(request))

    return serve
