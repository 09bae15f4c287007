"""Requests as a client makes them, by hand, so that each part of one can be made wrong."""

from __future__ import annotations

import itertools
import json
from typing import Any

import aiohttp
from yarl import URL

from custody.envelope import envelopes
from custody.envelope.ed25519 import SigningKey
from custody.envelope.reads import sign_read
from tests.custody.api.rig import KEYS, World

JSON = {"Content-Type": "application/json"}
_nonces = itertools.count(1)


class Answered:
    """Status, body and headers of an answer."""

    def __init__(self, status: int, body: Any, headers: Any) -> None:
        self.status, self.body, self.headers = status, body, headers

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])

    @property
    def refusal(self) -> tuple[int, str]:
        """(status, code) of an error, which has exactly its three members."""
        assert self.body.keys() == {"error"}, self.body
        assert self.body["error"].keys() == {"code", "message", "transient"}
        assert self.body["error"]["message"]
        return self.status, self.code


class Asker:
    """A client of one base URL."""

    def __init__(self, base: str, world: World, session: aiohttp.ClientSession) -> None:
        self.base, self.world, self.session = base, world, session

    async def send(
        self, method: str, target: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answered:
        url = URL(self.base + target, encoded=True)
        async with self.session.request(method, url, data=body, headers=headers) as response:
            raw = await response.read()
            kind = response.content_type
            return Answered(
                response.status, json_of(raw) if raw and kind == "application/json" else raw, response.headers
            )

    async def get(self, target: str, key: str = "payouts", **changes: Any) -> Answered:
        """A signed read; `changes` alter what is signed or said of it."""
        return await self.send("GET", target, headers=self.signed(target, key, **changes))

    def signed(self, target: str, key: str = "payouts", **changes: Any) -> dict[str, str]:
        signer: SigningKey = changes["signer"] if "signer" in changes else KEYS[key]
        now = changes.get("timestamp", self.world.now // 1000)
        nonce = changes.get("nonce", f"nonce-number-{next(_nonces):08}")
        read = sign_read(signer, changes.get("method", "GET"), changes.get("path", target), now, nonce)
        return read.headers()

    async def post(self, target: str, envelope: envelopes.Envelope) -> Answered:
        return await self.send("POST", target, body=envelopes.encode(envelope), headers=JSON)


def json_of(raw: bytes) -> Any:
    """The body of an answer."""
    return json.loads(raw)
