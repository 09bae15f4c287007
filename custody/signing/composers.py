"""The pure half of each chain family, by its name in the ledger: with these the signer rebuilds messages."""

from __future__ import annotations

from collections.abc import Mapping

from chains.evm import composer as evm
from chains.ports import Composer
from chains.solana import composer as solana

COMPOSERS: Mapping[str, Composer] = {"evm": evm, "solana": solana}
