"""Faults without a socket: a node in memory, one request through a fault, and a pool's transport made of both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from chains.devnet.faults.exchange import Answer, Cut, Exchange, Fault, Reply, Stage, Unanswered
from chains.devnet.faults.wire import Asked, told, write_all
from chains.devnet.solana import rpc
from chains.devnet.solana.bank import Bank
from chains.pool.classify import Fault as Trouble
from chains.pool.jsonrpc import Request, encode
from chains.pool.transport import Response, TransportFault


def body_of(method: str, *params: object, id_: object = 1) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id_, "method": method, "params": params})


def batch_of(*calls: tuple[str, object]) -> bytes:
    return b"[" + b",".join(body_of(method, param, id_=n) for n, (method, param) in enumerate(calls, 1)) + b"]"


class Echo:
    """A node in memory: it answers each call by `answers[method]` (a value, or a function of the arguments), else with
    its arguments. `seen` is every body that reached it, with the second at which it did."""

    def __init__(self, answers: Mapping[str, object] | None = None) -> None:
        self.answers = answers or {}
        self.seen: list[tuple[float, bytes]] = []

    async def send(self, body: bytes, *, plain: bool = False) -> Answer:
        self.seen.append((asyncio.get_running_loop().time(), body))
        question = Exchange(body, self, Stage(lambda: 0.0)).question
        if question is None:
            return Reply(status=400, body=b"")
        return Reply(body=write_all(question, [told(call, self._value(call)) for call in question.calls]))

    def _value(self, call: Asked) -> object:
        found = self.answers.get(call.method, call.arguments())
        return found(*call.arguments()) if callable(found) else found


class BankNode:
    """The local Solana chain as a node."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.asked: list[str] = []

    async def send(self, body: bytes, *, plain: bool = False) -> Answer:
        self.asked += [call.method for call in Exchange(body, self, Stage(lambda: 0.0)).calls]
        return Reply(body=rpc.respond(self.bank, body))


class Rig:
    """One fault, switched on at once, in front of a node."""

    def __init__(self, fault: Fault, node: Echo | BankNode) -> None:
        self.fault, self.node = fault, node
        self.stage = Stage(asyncio.get_running_loop().time)

    async def send(self, body: bytes) -> Answer:
        return await self.fault.answer(Exchange(body, self.node, self.stage))

    async def ask(self, method: str, *params: object) -> Any:
        """The result, or the error's code in a list of its own."""
        answer = await self.send(body_of(method, *params))
        assert isinstance(answer, Reply)
        said = msgspec.json.decode(answer.body)
        assert said["id"] == 1
        return [said["error"]["code"]] if "error" in said else said["result"]


class FaultyTransport:
    """A pool's `Transport` over a fault and a node, so that a pool and a fault meet in virtual time."""

    def __init__(self, fault: Fault, node: Echo | BankNode) -> None:
        self._rig = Rig(fault, node)
        self.sent = 0

    def switch(self, fault: Fault) -> None:
        self._rig.stage.over.set()
        self._rig = Rig(fault, self._rig.node)

    async def send(self, request: Request) -> Response:
        self.sent += 1
        try:
            answer = await self._rig.send(encode(request))
        except Unanswered:
            return Response(502, {}, b"the node behind")
        if isinstance(answer, Cut):
            raise TransportFault(Trouble.BROKEN_OFF, "cut", may_have_left=True)
        if answer.chunk:
            pauses = (len(answer.body) - 1) // answer.chunk
            await Exchange(b"", self._rig.node, self._rig.stage).pause(answer.pause * pauses)
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)

    async def close(self) -> None:
        return
