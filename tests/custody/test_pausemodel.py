"""What a file may say of pausing is exactly what the rules know, with the same numbers where it says nothing."""

from __future__ import annotations

import msgspec
import pytest
from pydantic import ValidationError

from custody.pausemodel import PauseModel
from custody.pausing.settings import PauseSettings

BY_FAMILY = ("finality_seconds", "head_seconds", "blockhash_positions")


@pytest.mark.parametrize("family", ["evm", "solana"])
def test_an_empty_table_is_the_rules_own_numbers(family: str) -> None:
    found = msgspec.structs.asdict(PauseModel().for_family(family))
    usual = msgspec.structs.asdict(PauseSettings())
    assert PauseModel.model_fields.keys() == usual.keys()
    assert {k: v for k, v in found.items() if k not in BY_FAMILY} == {
        k: v for k, v in usual.items() if k not in BY_FAMILY
    }


def test_families_differ_where_the_chains_do_and_the_file_has_the_last_word() -> None:
    evm, solana = (PauseModel().for_family(family) for family in ("evm", "solana"))
    assert (evm.blockhash_positions, solana.blockhash_positions) == (0, 75)
    assert solana.finality_seconds < evm.finality_seconds
    assert PauseModel(finality_seconds=7.0).for_family("evm").finality_seconds == 7.0
    assert PauseModel(blockhash_positions=0).for_family("solana").blockhash_positions == 0


@pytest.mark.parametrize("fault", [{"windows": 0}, {"hold_seconds": 0.0}, {"canary_ratio": 1.5}, {"calm_seconds": 1.0}])
def test_bad_numbers_and_unknown_ones_are_refused(fault: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        PauseModel(**fault)  # type: ignore[arg-type]  # that is the point
