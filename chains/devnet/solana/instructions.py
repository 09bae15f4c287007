"""Instructions for `jsonParsed`: the few that wallets show, and agave's own fallback for all others.

Whoever credits money by these is mistaken (a parser misses calls between programs, batches and closes); they are here
because clients ask for them.
"""

from __future__ import annotations

from chains.devnet.solana import base58, tokens
from chains.devnet.solana.messages import SYSTEM, Keys
from chains.devnet.solana.tokens import TOKEN, TOKEN_2022

Json = dict[str, object]

_MEMO = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
_SYSTEM = str(SYSTEM)
_TOKENS = {str(TOKEN): "spl-token", str(TOKEN_2022): "spl-token-2022"}
_SYSTEM_TRANSFER = (2).to_bytes(4, "little")
_TOKEN_TRANSFER = 3
_TOKEN_TRANSFER_CHECKED = 12


def parsed(keys: Keys, program_index: int, accounts: bytes, data: bytes, height: int | None) -> Json:
    """`UiParsedInstruction`: parsed where the instruction is known here, else partially decoded."""
    program = keys.names[program_index]
    names = [keys.names[index] for index in accounts]
    known = _known(program, names, data)
    if known is not None:
        return {"program": known[0], "programId": program, "parsed": known[1], "stackHeight": height}
    return {"programId": program, "accounts": names, "data": base58.encode(data), "stackHeight": height}


def _known(program: str, names: list[str], data: bytes) -> tuple[str, object] | None:
    if program == _SYSTEM and len(data) == 12 and data[:4] == _SYSTEM_TRANSFER and len(names) >= 2:
        lamports = int.from_bytes(data[4:12], "little")
        info: Json = {"source": names[0], "destination": names[1], "lamports": lamports}
        return "system", {"type": "transfer", "info": info}
    if program == _MEMO:
        try:
            return "spl-memo", data.decode()
        except UnicodeDecodeError:
            return None
    token = _TOKENS.get(program)
    if token is None:
        return None
    if data[:1] == bytes((_TOKEN_TRANSFER,)) and len(data) == 9 and len(names) == 3:
        amount = str(int.from_bytes(data[1:9], "little"))
        info = {"source": names[0], "destination": names[1], "authority": names[2], "amount": amount}
        return token, {"type": "transfer", "info": info}
    if data[:1] == bytes((_TOKEN_TRANSFER_CHECKED,)) and len(data) == 10 and len(names) == 4:
        return token, {"type": "transferChecked", "info": _checked(names, data)}
    return None


def _checked(names: list[str], data: bytes) -> Json:
    return {
        "source": names[0],
        "mint": names[1],
        "destination": names[2],
        "authority": names[3],
        "tokenAmount": tokens.amount(int.from_bytes(data[1:9], "little"), data[9]),
    }
