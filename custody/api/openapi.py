"""The OpenAPI document, made from the table of routes and the structs: it can say nothing but what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from custody.api import answers
from custody.api.errors import TABLE
from custody.api.routing import Auth, Route

_IN_PATH = re.compile(r"\{([a-z_]+)\}")
_READ_HEADERS = ("Custody-Key", "Custody-Timestamp", "Custody-Nonce", "Custody-Signature")


class EnvelopeBody(msgspec.Struct, frozen=True, kw_only=True):
    """A write: `payload` is the canonical JSON text (RFC 8785) of a transaction, `signature` the base64 of Ed25519 over
    its bytes, `key` the id of the key that made it."""

    key: str
    payload: str
    signature: str


def document(routes: Iterable[Route], version: str) -> Mapping[str, object]:
    """The whole document, as plain data."""
    table = tuple(routes)
    shapes: dict[type, None] = {answers.Error: None, EnvelopeBody: None}
    for route in table:
        shapes.update({shape: None for shape in route.answers.values() if shape is not None})
        if route.says is not None:
            shapes[route.says] = None
    schemas, components = msgspec.json.schema_components(list(shapes), ref_template="#/components/schemas/{name}")
    named = dict(zip(shapes, schemas, strict=True))
    paths: dict[str, dict[str, object]] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, named)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "custodyd",
            "version": version,
            "description": "Amounts are strings of integer units beside a decimal form. Times are unix milliseconds.",
        },
        "paths": paths,
        "components": {"schemas": components},
        "x-errors": {
            code: {"status": row.status, "transient": row.transient, "message": row.message}
            for code, row in sorted(TABLE.items())
        },
    }


def _operation(route: Route, named: Mapping[type, Mapping[str, object]]) -> dict[str, object]:
    operation: dict[str, object] = {
        "operationId": _name(route),
        "summary": route.about,
        "parameters": _parameters(route),
        "responses": _responses(route, named),
    }
    if route.says is not None:
        operation["description"] = f"The payload is a `{route.says.__struct_config__.tag}`."
        operation["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {"schema": named[EnvelopeBody], "x-payload": named[route.says]},
            },
        }
    return operation


def _name(route: Route) -> str:
    words = re.sub(r"[^a-z]+", "_", route.path.lower()).strip("_")
    return f"{route.method.lower()}_{words}"


def _parameters(route: Route) -> list[dict[str, object]]:
    found: list[dict[str, object]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _IN_PATH.findall(route.path)
    ]
    found.extend(
        {"name": item.name, "in": "query", "description": item.about, "schema": dict(item.schema)}
        for item in route.parameters
    )
    if route.auth is Auth.READ:
        found.extend(
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}} for name in _READ_HEADERS
        )
    return found


def _responses(route: Route, named: Mapping[type, Mapping[str, object]]) -> dict[str, object]:
    responses: dict[str, object] = {}
    for status, shape in sorted(route.answers.items()):
        kind = "application/json" if shape is not None else "text/plain"
        schema = named[shape] if shape is not None else {"type": "string"}
        responses[str(status)] = {"description": _first_sentence(shape), "content": {kind: {"schema": schema}}}
    responses["default"] = {
        "description": "A refusal; its code is one of `x-errors`.",
        "content": {"application/json": {"schema": named[answers.Error]}},
    }
    return responses


def _first_sentence(shape: type | None) -> str:
    if shape is None or not issubclass(shape, msgspec.Struct):
        return "Text." if shape is None else "The document."
    text = " ".join((shape.__doc__ or "").split())
    return text.split(". ")[0].rstrip(".") + "."
