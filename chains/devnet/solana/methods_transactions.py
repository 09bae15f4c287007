"""Methods that try, price and send transactions."""

from __future__ import annotations

from solders.account import Account
from solders.message import from_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from chains.devnet.solana import account_views, encode, errors, messages, rehearsal, verdicts
from chains.devnet.solana.bank import Bank, QueueFull
from chains.devnet.solana.context import answer, block_for
from chains.devnet.solana.execution import Simulation
from chains.devnet.solana.history import Block
from chains.devnet.solana.methods_accounts import reader
from chains.devnet.solana.params import Config, Params, decode, pubkey, transaction
from chains.devnet.solana.settings import MAX_PROCESSING_AGE

_WIRE_ENCODINGS = ("base58", "base64")
_ACCOUNT_ENCODINGS = ("base64", "jsonParsed")


def send_transaction(bank: Bank, params: Params) -> object:
    """Queue a transaction and return its signature, after signatures and simulation hold (unless `skipPreflight`).

    Raises -32602 (malformed), -32003 (signature), -32002 (simulation), -32016, -32603 (queue full).
    """
    config = params.config(1)
    one = transaction(params.text(0, "transaction"), config.choice("encoding", "base58", _WIRE_ENCODINGS))
    block = block_for(bank, config, "preflightCommitment")
    if not config.flag("skipPreflight", False):
        if not messages.signed(one):
            raise errors.signature_verification_failure()
        simulation = bank.simulate(one, block, check_age=True)
        err = simulation.report.err
        if err is not None:
            raise errors.preflight_failure(verdicts.sentence(err), _result(simulation))
    return submit(bank, one, config.integer("maxRetries"))


def submit(bank: Bank, one: VersionedTransaction, retries: int | None = None) -> str:
    """Queue a transaction. Raises -32603 when too many wait already."""
    try:
        return bank.submit(one, retries)
    except QueueFull as exc:
        raise errors.internal("Internal error: the transaction queue is full") from exc


def simulate_transaction(bank: Bank, params: Params) -> object:
    """Run a transaction for nothing at the end of the newest block of a commitment."""
    config = params.config(1)
    one = transaction(params.text(0, "transaction"), config.choice("encoding", "base58", _WIRE_ENCODINGS))
    verify, replace = config.flag("sigVerify", False), config.flag("replaceRecentBlockhash", False)
    if verify and replace:
        raise errors.invalid_params("sigVerify may not be used with replaceRecentBlockhash")
    block = block_for(bank, config)
    if verify and not messages.signed(one):
        raise errors.signature_verification_failure()
    simulation = bank.simulate(one, block, check_age=not replace)
    result = _result(simulation)
    result["accounts"] = _accounts(bank, block, simulation, config.section("accounts"))
    if config.flag("innerInstructions", False):
        result["innerInstructions"] = encode.inner_instructions(simulation.report, simulation.keys, parse=True)
    if replace:
        result["replacementBlockhash"] = {
            "blockhash": block.blockhash,
            "lastValidBlockHeight": block.height + MAX_PROCESSING_AGE,
        }
    return answer(block, result)


def _result(simulation: Simulation) -> dict[str, object]:
    """`RpcSimulateTransactionResult`, which is also the `data` of a failed preflight."""
    report = simulation.report
    return {
        "err": report.err,
        "logs": report.logs,
        "accounts": None,
        "unitsConsumed": report.units,
        "loadedAccountsDataSize": simulation.loaded_bytes,
        "loadedAddresses": encode.loaded_addresses(simulation.keys),
        "returnData": encode.return_data(report),
        "innerInstructions": None,
        "replacementBlockhash": None,
        "fee": None if simulation.pre is None else report.fee,
        **encode.balances(simulation.pre, simulation.post),
    }


def _accounts(bank: Bank, block: Block, simulation: Simulation, wanted: Config | None) -> object:
    if wanted is None:
        return None
    keys = [pubkey(text) for text in wanted.texts("addresses") or []]
    if len(keys) > len(simulation.keys.all):
        raise errors.invalid_params(f"Too many accounts provided; max {len(simulation.keys.all)}")
    if simulation.report.err is not None:
        return [None] * len(keys)
    wanted.choice("encoding", "base64", _ACCOUNT_ENCODINGS)

    def read(key: Pubkey) -> Account | None:
        found = simulation.after.get(key)
        return reader(bank, block)(key) if found is None else found if found.lamports else None

    found = [read(key) for key in keys]
    return [None if one is None else account_views.view(one, wanted, read, default="base64") for one in found]


def get_fee_for_message(bank: Bank, params: Params) -> object:
    """What a message will cost, priority fee included; null where its blockhash is not usable."""
    raw = decode(params.text(0, "message"), "base64")
    block = block_for(bank, params.config(1))
    try:
        message = from_bytes_versioned(raw)
    except ValueError as exc:
        raise errors.invalid_params(f"failed to deserialize message: {exc}") from exc
    if bank.blockhash_age(str(message.recent_blockhash), block) is None:
        return answer(block, None)
    unsigned = [Signature.default()] * message.header.num_required_signatures
    simulation = bank.simulate(VersionedTransaction.populate(message, unsigned), block, check_age=False)
    return answer(block, simulation.report.fee)


def request_airdrop(bank: Bank, params: Params) -> object:
    """A transfer from the faucet, as its signature."""
    key, lamports = params.pubkey(0), params.integer(1, "lamports")
    if lamports > bank.settings.airdrop_lamports:
        raise errors.invalid_params(f"Invalid request: at most {bank.settings.airdrop_lamports} lamports")
    return submit(bank, rehearsal.airdrop(bank, key, lamports))
