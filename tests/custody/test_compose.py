"""What a chain's file says arrives at its parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from chains.errors import NoProvider
from chains.pool.limiter import Accounts
from custody.daemon.compose import open_chain
from custody.settings import ChainModel, EvmModel, PayoutModel, ProviderModel, SolanaModel

GENESIS = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
NOBODY = tuple(
    ProviderModel(name=f"p{number}", url=f"http://127.0.0.1:{number}/", requests_per_second=100.0)
    for number in (1, 2, 3)  # ports where nobody listens
)


@pytest.mark.parametrize("family", ["evm", "solana"])
@pytest.mark.parametrize(("quorum", "needed"), [(None, 2), (1, 1), (3, 3)])
async def test_as_many_providers_are_needed_as_the_file_says(
    family: str, quorum: int | None, needed: int, tmp_path: Path
) -> None:
    if family == "evm":
        model = ChainModel(
            chain="ethereum",
            family="evm",
            identity="1",
            providers=NOBODY,
            quorum=quorum,
            evm=EvmModel(max_fee="1", max_tip="1"),
        )
    else:
        model = ChainModel(
            chain="solana",
            family="solana",
            identity=GENESIS,
            providers=NOBODY,
            quorum=quorum,
            solana=SolanaModel(),
            payouts=PayoutModel(rent_cap="1"),
        )
    parts = open_chain(model, tmp_path, Accounts())
    async with parts.pool:
        with pytest.raises(NoProvider, match=f"0 of the {needed} providers needed"):
            await parts.adapter.identify()
