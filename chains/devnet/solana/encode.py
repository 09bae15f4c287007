"""Transactions and blocks as agave's `UiTransaction` family spells them (agave `transaction-status-client-types`)."""

from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec
from solders.message import MessageV0, MessageV1, VersionedMessage
from solders.transaction import VersionedTransaction

from chains.devnet.solana import base58, errors, tokens
from chains.devnet.solana.execution import Balances, Inner, Report, TokenBalance
from chains.devnet.solana.history import Block, Landed
from chains.devnet.solana.instructions import parsed
from chains.devnet.solana.messages import Keys, version

Json = dict[str, object]

ENCODINGS = ("json", "jsonParsed", "base58", "base64")
DETAILS = ("full", "accounts", "signatures", "none")


class View(msgspec.Struct, frozen=True, kw_only=True):
    """How a caller wants transactions: `highest` is maxSupportedTransactionVersion, None where none was given."""

    encoding: str = "json"
    details: str = "full"
    rewards: bool = True
    highest: int | None = None


def block(one: Block, view: View) -> Json:
    """`UiConfirmedBlock`. Raises -32015 for a version above what the caller takes."""
    shape: Json = {
        "previousBlockhash": one.parent_hash,
        "blockhash": one.blockhash,
        "parentSlot": one.parent_slot,
        "blockTime": one.time,
        "blockHeight": one.height,
    }
    if view.details == "full":
        shape["transactions"] = [transaction_with_meta(landed, view) for landed in one.landed]
    elif view.details == "accounts":
        shape["transactions"] = [_accounts_with_meta(landed, view) for landed in one.landed]
    elif view.details == "signatures":
        shape["signatures"] = [landed.signature for landed in one.landed]
    if view.rewards:
        shape["rewards"] = []
    return shape


def transaction_with_meta(landed: Landed, view: View) -> Json:
    """`EncodedTransactionWithStatusMeta`, in full."""
    shape = _version(landed.transaction, view)
    shape["transaction"] = transaction(landed.transaction, landed.execution.keys, view.encoding)
    shape["meta"] = _meta(landed, view)
    return shape


def _accounts_with_meta(landed: Landed, view: View) -> Json:
    shape = _version(landed.transaction, view)
    execution = landed.execution
    shape["transaction"] = {"signatures": _signatures(landed.transaction), "accountKeys": _account_keys(execution.keys)}
    rewards: Json = {"rewards": []} if view.rewards else {}
    shape["meta"] = {**_outcome(execution.report), **balances(execution.pre, execution.post), **rewards}
    return shape


def _version(one: VersionedTransaction, view: View) -> Json:
    number = version(one)
    if number is not None and (view.highest is None or number > view.highest):
        raise errors.unsupported_version(number)
    return {} if view.highest is None else {"version": "legacy" if number is None else number}


def transaction(one: VersionedTransaction, keys: Keys, encoding: str) -> object:
    """`EncodedTransaction`: bytes with their encoding, or an object."""
    if encoding == "base64":
        return [base64.b64encode(bytes(one)).decode(), "base64"]
    if encoding == "base58":
        return [base58.encode(bytes(one)), "base58"]
    message = _parsed_message(one, keys) if encoding == "jsonParsed" else _raw_message(one.message, keys)
    return {"signatures": _signatures(one), "message": message}


def _raw_message(message: VersionedMessage, keys: Keys) -> Json:
    header = message.header
    shape: Json = {
        "header": {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        },
        "accountKeys": keys.names[: keys.static],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [
            {
                "programIdIndex": one.program_id_index,
                "accounts": list(bytes(one.accounts)),
                "data": base58.encode(bytes(one.data)),
                "stackHeight": 1,
            }
            for one in message.instructions
        ],
    }
    return {**shape, **_extras(message)}


def _parsed_message(one: VersionedTransaction, keys: Keys) -> Json:
    message = one.message
    return {
        "accountKeys": _account_keys(keys),
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [
            parsed(keys, call.program_id_index, bytes(call.accounts), bytes(call.data), 1)
            for call in message.instructions
        ],
        **_extras(message),
    }


def _extras(message: VersionedMessage) -> Json:
    """What only one version has: lookups (v0) or the fee configuration in the header (v1)."""
    if isinstance(message, MessageV0):
        return {
            "addressTableLookups": [
                {
                    "accountKey": str(lookup.account_key),
                    "writableIndexes": list(lookup.writable_indexes),
                    "readonlyIndexes": list(lookup.readonly_indexes),
                }
                for lookup in message.address_table_lookups
            ]
        }
    if isinstance(message, MessageV1):
        config = message.config
        return {
            "transactionConfig": {
                "priorityFee": config.priority_fee,
                "computeUnitLimit": config.compute_unit_limit,
                "loadedAccountsDataSizeLimit": config.loaded_accounts_data_size_limit,
                "heapSize": config.heap_size,
            }
        }
    return {}


def _account_keys(keys: Keys) -> list[Json]:
    return [
        {
            "pubkey": name,
            "writable": writable,
            "signer": index < keys.signers,
            "source": "transaction" if index < keys.static else "lookupTable",
        }
        for index, (name, writable) in enumerate(zip(keys.names, keys.writable, strict=True))
    ]


def _signatures(one: VersionedTransaction) -> list[str]:
    return [str(signature) for signature in one.signatures]


def _meta(landed: Landed, view: View) -> Json:
    execution = landed.execution
    report, keys = execution.report, execution.keys
    shape: Json = {
        **_outcome(report),
        **balances(execution.pre, execution.post),
        "innerInstructions": inner_instructions(report, keys, parse=view.encoding == "jsonParsed"),
        "logMessages": report.logs,
        "rewards": [] if view.rewards else None,
        "computeUnitsConsumed": report.units,
    }
    if view.encoding != "jsonParsed":
        shape["loadedAddresses"] = loaded_addresses(keys)
    if report.returned is not None:
        shape["returnData"] = return_data(report)
    return shape


def _outcome(report: Report) -> Json:
    return {"err": report.err, "status": status(report), "fee": report.fee}


def balances(pre: Balances | None, post: Balances | None) -> Json:
    """Balances before and after; null where a simulation got no further."""
    return {
        "preBalances": None if pre is None else pre.lamports,
        "postBalances": None if post is None else post.lamports,
        "preTokenBalances": None if pre is None else [_token_balance(one) for one in pre.tokens],
        "postTokenBalances": None if post is None else [_token_balance(one) for one in post.tokens],
    }


def loaded_addresses(keys: Keys) -> Json:
    """What lookup tables contributed."""
    writable, readonly = keys.loaded()
    return {"writable": writable, "readonly": readonly}


def status(report: Report) -> Json:
    """The older, doubled spelling of `err` that clients still read."""
    return {"Ok": None} if report.err is None else {"Err": report.err}


def return_data(report: Report) -> Json | None:
    """What the last program returned, None if nothing."""
    if report.returned is None:
        return None
    program, data = report.returned
    return {"programId": program, "data": [base64.b64encode(data).decode(), "base64"]}


def inner_instructions(report: Report, keys: Keys, *, parse: bool) -> list[Json]:
    """Calls between programs, by the top-level instruction they came from; those without any are left out."""
    spell: Callable[[Inner], Json] = (lambda call: _inner_parsed(call, keys)) if parse else _inner
    return [
        {"index": index, "instructions": [spell(call) for call in calls]}
        for index, calls in enumerate(report.inner)
        if calls
    ]


def _inner(call: Inner) -> Json:
    return {
        "programIdIndex": call.program_index,
        "accounts": list(call.accounts),
        "data": base58.encode(call.data),
        "stackHeight": call.height,
    }


def _inner_parsed(call: Inner, keys: Keys) -> Json:
    return parsed(keys, call.program_index, call.accounts, call.data, call.height)


def _token_balance(one: TokenBalance) -> Json:
    amount = tokens.amount(one.amount, one.decimals)
    if one.amount == 0:
        amount["uiAmount"] = None  # stored metadata has no zero there; a client that counts on 0.0 meets this in life
    return {
        "accountIndex": one.index,
        "mint": one.mint,
        "uiTokenAmount": amount,
        "owner": one.owner,
        "programId": one.program,
    }
