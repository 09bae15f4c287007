"""The OpenAPI document is whole, and agrees with the routes that are really served and with what they answer."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web

from custody.api import answers
from custody.api.client_app import client_app, routes
from custody.api.errors import TABLE
from custody.api.routing import Auth
from custody.api.wire import encode
from custody.ledger import transactions as tx
from tests.custody.api.asking import Asker, json_of
from tests.custody.api.rig import World

pytestmark = pytest.mark.asyncio(loop_scope="module")
METHODS = {"get", "post", "put", "delete", "patch"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(still: Asker) -> Any:
    answer = await still.send("GET", "/v1/openapi.json")
    assert answer.status == 200
    return answer.body


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []


async def test_it_is_a_whole_openapi_document(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"].keys() >= {"title", "version"}
    names: list[str] = []
    for path, operations in document["paths"].items():
        assert path.startswith("/")
        assert operations.keys() <= METHODS
        for operation in operations.values():
            names.append(operation["operationId"])
            inside = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert inside == set(re.findall(r"\{(\w+)\}", path))
            assert all(p["required"] for p in operation["parameters"] if p["in"] == "path")
            assert operation["responses"].keys() >= {"default"}
            for status, response in operation["responses"].items():
                assert status == "default" or 200 <= int(status) < 600
                assert response["description"]
                assert all("schema" in kind for kind in response["content"].values())
    assert len(names) == len(set(names))


async def test_every_reference_leads_somewhere(document: Any) -> None:
    found = references(document)
    assert found
    for name in found:
        assert name.removeprefix("#/components/schemas/") in document["components"]["schemas"]


async def test_it_lists_exactly_what_is_served(document: Any, still_world: World) -> None:
    app: web.Application = client_app(still_world.client_deps())
    served = {
        (route.method, re.sub(r":[^{}]+\}", "}", route.resource.canonical))
        for route in app.router.routes()
        if route.resource is not None
    }
    listed = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert listed == served == {(route.method, route.path) for route in routes(still_world.client_deps())}


async def test_the_routes_of_the_design_are_there(document: Any) -> None:
    promised = (
        "POST /v1/accounts/{account}/addresses", "GET /v1/accounts/{account}/addresses",
        "GET /v1/accounts/{account}/balances", "GET /v1/deposits", "GET /v1/deposits/{id}",
        "POST /v1/withdrawals", "GET /v1/withdrawals", "GET /v1/withdrawals/{id}", "POST /v1/withdrawals/{id}/cancel",
        "POST /v1/transfers", "GET /v1/transfers/{id}", "GET /v1/events", "GET /v1/sequence", "GET /v1/status",
        "GET /v1/openapi.json", "GET /healthz", "GET /readyz", "GET /metrics",
    )  # fmt: skip
    listed = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    assert listed == set(promised)


async def test_writes_name_their_transaction_and_reads_their_headers(document: Any, still_world: World) -> None:
    for route in routes(still_world.client_deps()):
        operation = document["paths"][route.path][route.method.lower()]
        headers = {p["name"] for p in operation["parameters"] if p["in"] == "header"}
        assert bool(headers) is (route.auth is Auth.READ)
        assert ("requestBody" in operation) is (route.auth is Auth.ENVELOPE)
        if route.says is not None:
            assert issubclass(route.says, tx.Transaction)
            assert str(route.says.__struct_config__.tag) in operation["description"]


async def test_every_error_code_is_listed(document: Any) -> None:
    assert document["x-errors"].keys() == TABLE.keys()
    assert document["x-errors"]["busy"] == {"status": 503, "transient": True, "message": TABLE["busy"].message}


@pytest.mark.parametrize(
    ("target", "shape"),
    [
        ("/v1/accounts/alice/balances", answers.Balances),
        ("/v1/accounts/alice/addresses", answers.Addresses),
        ("/v1/deposits", answers.Deposits),
        ("/v1/withdrawals", answers.Withdrawals),
        ("/v1/events", answers.Events),
        ("/v1/sequence", answers.SequenceAnswer),
        ("/v1/status", answers.Status),
    ],
)
async def test_answers_have_the_promised_shape_and_no_other_member(still: Asker, target: str, shape: type) -> None:
    answer = await still.get(target)
    decoded: object = msgspec.convert(answer.body, shape, strict=True)
    assert json_of(encode(decoded)) == answer.body
