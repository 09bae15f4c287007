"""JSON-RPC errors with the codes and sentences that clients match on (agave `rpc-client-api/src/custom_error.rs`)."""

from __future__ import annotations


class RpcError(Exception):
    """One error object of a response. `data` is None where agave sends none."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.data = code, message, data


def parse_error() -> RpcError:
    """The body is not JSON."""
    return RpcError(-32700, "Parse error")


def invalid_request(message: str = "Invalid request") -> RpcError:
    """The body is JSON but no request, or the request asks for what is never served."""
    return RpcError(-32600, message)


def method_not_found() -> RpcError:
    """No such method here."""
    return RpcError(-32601, "Method not found")


def invalid_params(message: str) -> RpcError:
    """A parameter is absent, malformed or out of range."""
    return RpcError(-32602, message)


def internal(message: str) -> RpcError:
    """The node itself is at fault or full."""
    return RpcError(-32603, message)


def block_cleaned_up(slot: int, first_available: int) -> RpcError:
    """The slot is older than what this node keeps."""
    return RpcError(
        -32001, f"Block {slot} cleaned up, does not exist on node. First available block: {first_available}"
    )


def preflight_failure(sentence: str, result: object) -> RpcError:
    """The simulation before a send failed; `data` is the simulation's result."""
    return RpcError(-32002, f"Transaction simulation failed: {sentence}", result)


def signature_verification_failure() -> RpcError:
    """A signature is missing or wrong."""
    return RpcError(-32003, "Transaction signature verification failure")


def block_not_available(slot: int) -> RpcError:
    """The slot is not there yet at the commitment asked for."""
    return RpcError(-32004, f"Block not available for slot {slot}")


def slot_skipped(slot: int) -> RpcError:
    """The slot is final and has no block."""
    return RpcError(-32007, f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot")


def unsupported_version(version: int) -> RpcError:
    """The answer holds a transaction of a version that the request did not allow."""
    return RpcError(
        -32015,
        f"Transaction version ({version}) is not supported by the requesting client. Please try the request again "
        f'with the following configuration parameter: "maxSupportedTransactionVersion": {version}',
    )


def min_context_slot(context_slot: int) -> RpcError:
    """The node has not reached the slot the request insists on."""
    return RpcError(-32016, "Minimum context slot has not been reached", {"contextSlot": context_slot})
