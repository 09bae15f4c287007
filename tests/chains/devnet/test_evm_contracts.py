"""The contracts of the local EVM chain: what the source declares is what there is code for."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak

from chains.devnet import anvil

SOURCE = resources.files("chains.devnet").joinpath("contracts/devnet.sol").read_text(encoding="utf-8")
CONTRACTS = re.findall(r"^contract (\w+)", SOURCE, re.MULTILINE)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_contract_has_its_code(contract: str) -> None:
    code = anvil.bytecode(contract)
    assert 30 < len(code) < 24_576
    body = SOURCE[SOURCE.index(f"contract {contract}") :]
    body = body[: body.index("\n}\n")]
    for name, parameters in re.findall(r"function (\w+)\(([^)]*)\) external", body):
        types = [part.replace(" payable", "").split()[0] for part in parameters.split(",") if part.strip()]
        signature = f"{name}({','.join(types)})"
        assert keccak(signature.encode("ascii"))[:4] in code, signature


def test_no_code_without_a_source() -> None:
    assert len(CONTRACTS) == len(set(CONTRACTS)) == 7
    with pytest.raises(KeyError):
        anvil.bytecode("Nothing")


def test_call_data_is_selector_and_arguments() -> None:
    data = anvil.call_data("mint(address,uint256)", "0x" + "11" * 20, 5)
    assert data[:4] == keccak(b"mint(address,uint256)")[:4]
    assert data[4:] == encode(["address", "uint256"], ["0x" + "11" * 20, 5])
    assert anvil.call_data("decimals()") == bytes.fromhex("313ce567")
