"""An EVM chain as it was, call by call: which block is asked about instead, and what is taken out of the answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chains.devnet.faults.catalogue import Layers
from chains.devnet.faults.evmview import EvmView, newest, quantity
from chains.devnet.faults.lies import SEPOLIA, EmptyLogs, EmptyReceipts, HeadFreeze, WrongChain
from chains.devnet.faults.wire import Asked, refused, told
from tests.chains.devnet.faultrig import Echo, Rig, batch_of
from tests.virtualtime import run

THEN = EvmView(latest=100, safe=96, finalized=90)
HASH = "0x" + "ab" * 32


def asked(method: str, *params: object) -> Asked:
    return Asked(method=method, params=msgspec.Raw(msgspec.json.encode(params)))


@pytest.mark.parametrize(
    ("method", "params", "instead"),
    [
        ("eth_getBlockByNumber", ["latest", True], ["0x64", True]),
        ("eth_getBlockByNumber", ["pending", False], ["0x64", False]),
        ("eth_getBlockByNumber", ["safe", False], ["0x60", False]),
        ("eth_getBlockByNumber", ["finalized", False], ["0x5a", False]),
        ("eth_getBlockByNumber", ["earliest", False], ["earliest", False]),
        ("eth_getBlockByNumber", ["0x7", False], ["0x7", False]),
        ("eth_getBlockByNumber", [], ["0x64"]),
        ("eth_getBalance", ["0xa", "latest"], ["0xa", "0x64"]),
        ("eth_getBalance", ["0xa"], ["0xa", "0x64"]),
        ("eth_getBalance", [], []),
        ("eth_getBalance", ["0xa", {"blockHash": HASH}], ["0xa", {"blockHash": HASH}]),
        ("eth_getTransactionCount", ["0xa", "pending"], ["0xa", "0x64"]),
        ("eth_call", [{"to": "0xa"}, "finalized", {}], [{"to": "0xa"}, "0x5a", {}]),
        ("eth_call", [{"to": "0xa"}], [{"to": "0xa"}, "0x64"]),
        ("eth_feeHistory", ["0x1", "latest", []], ["0x1", "0x64", []]),
        ("trace_block", ["latest"], ["0x64"]),
        ("eth_getLogs", [{"fromBlock": "0x1"}], [{"fromBlock": "0x1", "toBlock": "0x64"}]),
        ("eth_getLogs", [{}], [{"fromBlock": "0x64", "toBlock": "0x64"}]),
        ("eth_getLogs", [{"blockHash": HASH}], [{"blockHash": HASH}]),
        ("eth_getBlockReceipts", [HASH], [HASH]),
        ("eth_sendRawTransaction", ["0x02"], ["0x02"]),
    ],
)
def test_a_tag_becomes_the_number_of_then(method: str, params: list[object], instead: list[object]) -> None:
    call = asked(method, *params)
    rephrased = THEN.ask(call)
    assert (rephrased.method, rephrased.id, rephrased.arguments()) == (method, call.id, instead)


OLD, NEW = {"blockNumber": "0x64"}, {"blockNumber": "0x65"}


@pytest.mark.parametrize(
    ("method", "params", "said", "heard"),
    [
        ("eth_blockNumber", [], "0x70", "0x64"),
        ("eth_getBlockByNumber", ["0x64", False], {"number": "0x64"}, {"number": "0x64"}),
        ("eth_getBlockByNumber", ["0x65", False], {"number": "0x65"}, None),
        ("eth_getBlockByHash", [HASH, False], {"number": "0x64"}, {"number": "0x64"}),
        ("eth_getBlockByHash", [HASH, False], {"number": "0x65"}, None),
        ("eth_getTransactionReceipt", [HASH], OLD, OLD),
        ("eth_getTransactionReceipt", [HASH], NEW, None),
        ("eth_getTransactionReceipt", [HASH], None, None),
        ("eth_getTransactionByHash", [HASH], NEW, None),
        ("eth_getTransactionByHash", [HASH], {"blockNumber": None}, {"blockNumber": None}),
        ("eth_getBlockReceipts", [HASH], [NEW, NEW], None),
        ("eth_getBlockReceipts", [HASH], [OLD], [OLD]),
        ("eth_getBlockReceipts", ["0x65"], [NEW], None),
        ("trace_block", ["0x65"], [{"blockNumber": 0x65}], None),
        ("eth_getBalance", ["0xa", "0x64"], "0x1", "0x1"),
        ("eth_getBalance", ["0xa", "0x65"], "0x1", [-32000]),
        ("eth_call", [{}, "0x65"], "0x", [-32000]),
        ("eth_getLogs", [{"fromBlock": "0x60", "toBlock": "0x70"}], [OLD, NEW], [OLD]),
        ("eth_getLogs", [{"blockHash": HASH}], [NEW], [-32000]),
        ("eth_getLogs", [{"blockHash": HASH}], [], []),
        ("eth_getLogs", [{"blockHash": HASH}], [OLD], [OLD]),
        ("eth_chainId", [], "0x1", "0x1"),
    ],
)
def test_what_came_later_is_not_told(method: str, params: list[object], said: object, heard: Any) -> None:
    call = asked(method, *params)
    answer = THEN.tell(call, told(call, said))
    if answer.refused:
        assert [msgspec.json.decode(answer.error)["code"]] == heard
    else:
        assert msgspec.json.decode(answer.result) == heard


def test_an_error_stays_the_error_it_was() -> None:
    call = asked("eth_getLogs", {"blockHash": HASH})
    assert THEN.tell(call, refused(call, -32005, "busy")) == refused(call, -32005, "busy")


@pytest.mark.parametrize(
    ("value", "number"),
    [("0x10", 16), (17, 17), ("latest", None), (HASH, None), ("0xzz", None), (None, None), ({}, None)],
)
def test_a_quantity_is_told_from_a_hash(value: object, number: int | None) -> None:
    assert quantity(value) == number


def test_the_newest_of_many() -> None:
    assert [newest(one) for one in ([OLD, NEW], [], {}, "0x1", {"number": "0x3"}, [1, NEW])] == [
        101,
        -1,
        -1,
        -1,
        3,
        101,
    ]


def test_a_head_frozen_once_asks_the_node_no_more() -> None:
    async def main() -> None:
        heads = iter(range(100, 200))
        node = Echo({"eth_getBlockByNumber": lambda *_: {"number": hex(next(heads))}, "eth_blockNumber": "0xff"})
        rig = Rig(HeadFreeze(), node)
        assert [await rig.ask("eth_blockNumber") for _ in range(4)] == ["0x66"] * 4
        assert len(node.seen) == 3 + 4

    run(main())


def test_denied_logs_and_receipts_and_another_chain() -> None:
    async def main() -> None:
        node = Echo({"eth_chainId": "0x1", "eth_getBlockReceipts": [OLD]})
        rig = Rig(Layers(faults=(EmptyLogs(), EmptyReceipts(), WrongChain())), node)
        assert await rig.ask("eth_getLogs", {}) == [] == await rig.ask("eth_getBlockReceipts", "0x1")
        assert await rig.ask("eth_getTransactionReceipt", HASH) is None
        assert int(await rig.ask("eth_chainId"), 16) == SEPOLIA == int(await rig.ask("net_version"))
        assert await rig.ask("eth_getBalance", "0xa") == ["0xa"]
        batch = await rig.send(batch_of(("eth_getLogs", {}), ("eth_getCode", 5)))
        assert [one["result"] for one in msgspec.json.decode(batch.body)] == [[], [5]]  # type: ignore[union-attr]  # no cut here

    run(main())
