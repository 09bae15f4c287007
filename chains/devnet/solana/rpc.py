"""JSON-RPC 2.0 over bytes: a request or a batch in, the answer out. Knows no socket, so tests can speak it directly."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from chains.devnet.solana import (
    errors,
    methods_accounts,
    methods_blocks,
    methods_node,
    methods_rehearsal,
    methods_transactions,
)
from chains.devnet.solana.bank import Bank
from chains.devnet.solana.params import Params

Handler = Callable[[Bank, Params], object]

METHODS: dict[str, Handler] = {
    "getAccountInfo": methods_accounts.get_account_info,
    "getBalance": methods_accounts.get_balance,
    "getBlock": methods_blocks.get_block,
    "getBlockHeight": methods_node.get_block_height,
    "getBlockTime": methods_blocks.get_block_time,
    "getBlocks": methods_blocks.get_blocks,
    "getBlocksWithLimit": methods_blocks.get_blocks_with_limit,
    "getEpochInfo": methods_node.get_epoch_info,
    "getFeeForMessage": methods_transactions.get_fee_for_message,
    "getFirstAvailableBlock": methods_blocks.get_first_available_block,
    "getGenesisHash": methods_node.get_genesis_hash,
    "getHealth": methods_node.get_health,
    "getIdentity": methods_node.get_identity,
    "getLatestBlockhash": methods_node.get_latest_blockhash,
    "getMinimumBalanceForRentExemption": methods_node.get_minimum_balance_for_rent_exemption,
    "getMultipleAccounts": methods_accounts.get_multiple_accounts,
    "getRecentPrioritizationFees": methods_node.get_recent_prioritization_fees,
    "getSignatureStatuses": methods_blocks.get_signature_statuses,
    "getSignaturesForAddress": methods_blocks.get_signatures_for_address,
    "getSlot": methods_node.get_slot,
    "getSlotLeader": methods_node.get_slot_leader,
    "getSlotLeaders": methods_node.get_slot_leaders,
    "getTokenAccountBalance": methods_accounts.get_token_account_balance,
    "getTokenAccountsByOwner": methods_accounts.get_token_accounts_by_owner,
    "getTokenSupply": methods_accounts.get_token_supply,
    "getTransaction": methods_blocks.get_transaction,
    "getTransactionCount": methods_node.get_transaction_count,
    "getVersion": methods_node.get_version,
    "isBlockhashValid": methods_node.is_blockhash_valid,
    "minimumLedgerSlot": methods_blocks.get_first_available_block,
    "requestAirdrop": methods_transactions.request_airdrop,
    "sendTransaction": methods_transactions.send_transaction,
    "simulateTransaction": methods_transactions.simulate_transaction,
    "devnet_createMint": methods_rehearsal.create_mint,
    "devnet_holdSends": methods_rehearsal.hold_sends,
    "devnet_loseSends": methods_rehearsal.lose_sends,
    "devnet_mintTo": methods_rehearsal.mint_to,
    "devnet_pauseFinality": methods_rehearsal.pause_finality,
    "devnet_releaseSends": methods_rehearsal.release_sends,
    "devnet_resumeBlocks": methods_rehearsal.resume_blocks,
    "devnet_resumeFinality": methods_rehearsal.resume_finality,
    "devnet_skipSlots": methods_rehearsal.skip_slots,
    "devnet_stopBlocks": methods_rehearsal.stop_blocks,
    "devnet_tick": methods_rehearsal.tick,
}


class Request(msgspec.Struct, frozen=True):
    """A well-formed request; `id` is echoed as it came."""

    id: object
    method: str
    params: Params


def respond(bank: Bank, body: bytes) -> bytes:
    """Answer one HTTP body. Never raises for what a client sent."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return failure(None, errors.parse_error())
    if not isinstance(decoded, list):
        return single(bank, decoded)
    if not decoded:
        return failure(None, errors.invalid_request())
    if len(decoded) > bank.settings.batch_requests:
        return failure(None, errors.invalid_request(f"Batch too large; max {bank.settings.batch_requests}"))
    return b"[" + b",".join(single(bank, one) for one in decoded) + b"]"


def single(bank: Bank, decoded: object) -> bytes:
    """Answer one request object."""
    try:
        request = parse(decoded)
    except errors.RpcError as error:
        return failure(decoded.get("id") if isinstance(decoded, dict) else None, error)
    handler = METHODS.get(request.method)
    try:
        if handler is None:
            raise errors.method_not_found()
        return success(request.id, handler(bank, request.params))
    except errors.RpcError as error:
        return failure(request.id, error)


def parse(decoded: object) -> Request:
    """Check the envelope. Raises -32600, -32602."""
    if not isinstance(decoded, dict) or decoded.get("jsonrpc") != "2.0":
        raise errors.invalid_request()
    method, params = decoded.get("method"), decoded.get("params")
    if not isinstance(method, str):
        raise errors.invalid_request()
    if params is not None and not isinstance(params, list):
        raise errors.invalid_params("`params` should be an array")
    return Request(id=decoded.get("id"), method=method, params=Params(params or []))


def success(request_id: object, result: object) -> bytes:
    """A response that carries a result."""
    return msgspec.json.encode({"jsonrpc": "2.0", "result": result, "id": request_id})


def failure(request_id: object, error: errors.RpcError) -> bytes:
    """A response that carries an error."""
    shape: dict[str, object] = {"code": error.code, "message": error.message}
    if error.data is not None:
        shape["data"] = error.data
    return msgspec.json.encode({"jsonrpc": "2.0", "error": shape, "id": request_id})
