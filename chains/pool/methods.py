"""What kind of work a method is for a provider: the classes that metrics, slots and costs are counted by."""

from __future__ import annotations

from enum import StrEnum


class MethodClass(StrEnum):
    """LIGHT reads one value; HEAVY walks blocks, logs or accounts; WRITE hands in a transaction."""

    LIGHT = "light"
    HEAVY = "heavy"
    WRITE = "write"


_HEAVY = (
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockReceipts",
    "eth_getLogs",
    "debug_traceBlockByHash",
    "debug_traceTransaction",
    "trace_block",
    "getBlock",
    "getBlocks",
    "getProgramAccounts",
    "getSignaturesForAddress",
    "getTokenAccountsByOwner",
)
_WRITE = ("eth_sendRawTransaction", "sendTransaction")
_LIGHT = MethodClass.LIGHT
_CLASSES = dict.fromkeys(_HEAVY, MethodClass.HEAVY) | dict.fromkeys(_WRITE, MethodClass.WRITE)


def method_class(method: str) -> MethodClass:
    """The class of a JSON-RPC method; what isn't listed is light."""
    return _CLASSES.get(method, _LIGHT)
