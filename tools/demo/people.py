"""The people of the story: users with wallets outside, recipients nobody here knows, and the owner's two admins."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import aiohttp
from eth_account import Account
from solders.keypair import Keypair

from custody.envelope import envelopes
from custody.envelope.ed25519 import SigningKey
from custody.envelope.keyfile import read_key_file
from custody.ledger import encoding
from custody.ledger import transactions as tx


def outside_ethereum() -> str:
    """A fresh address of somebody outside, checksummed."""
    return str(Account.from_key(secrets.token_bytes(32)).address)


def outside_solana() -> str:
    """A fresh address of somebody outside."""
    return str(Keypair().pubkey())


class Admins:
    """The two admins, each with a key of their own, who must say the same thing."""

    def __init__(self, keys: Path, socket: Path, ledger: str) -> None:
        self._keys = [read_key_file(keys / f"admin-{number}.json") for number in (1, 2)]
        self._socket = socket
        self._ledger = ledger

    async def fund(self, chain: str, transaction: str, ordinal: str) -> list[str]:
        """Attribute a receipt to the house's capital: the codes of the first and the second voice. While the ledger
        does not know the receipt yet, the second is not asked."""
        codes: list[str] = []
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self._socket))) as session:
            for key in self._keys:
                said = tx.TreasuryFunded(
                    ledger=self._ledger,
                    seq=await self._sequence(session, key),
                    chain=chain,
                    tx=transaction,
                    ordinal=ordinal,
                )
                body = envelopes.encode(envelopes.sign(key, encoding.encode(said)))
                async with session.post("http://admin/admin/envelope", data=body, headers=_JSON) as response:
                    answer = json.loads(await response.text())
                    codes.append(answer["code"] if "code" in answer else answer["error"]["code"])
                if codes[-1] == "unknown_receipt":
                    break
        return codes

    async def _sequence(self, session: aiohttp.ClientSession, key: SigningKey) -> int:
        async with session.get("http://admin/admin/sequence", params={"key": key.id}) as response:
            return int(json.loads(await response.text())["next"])


_JSON = {"Content-Type": "application/json"}
