"""The table `[pause]` of a chain's file, and what stands where it says nothing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from custody.configuration import Seconds, Settings
from custody.pausing.settings import PauseSettings


class PauseModel(Settings):
    """Automatic holds; what each number means stands in `custody.pausing.settings`. The three that depend on the chain
    have a default for its family."""

    poll_seconds: Seconds = 0.5
    survey_seconds: Seconds = 5.0
    canary_seconds: Seconds = 1.0
    grace_seconds: Seconds = 10.0
    sick_seconds: Seconds = 5.0
    drain_seconds: Seconds = 30.0
    hold_seconds: Seconds = 60.0
    hold_cap_seconds: Seconds = 900.0
    flap_seconds: Seconds = 1800.0
    window_seconds: Seconds = 10.0
    windows: Annotated[int, Field(gt=0, le=100)] = 3
    canary_ratio: Annotated[float, Field(gt=0, le=1)] = 0.99
    eta_seconds: Seconds = 600.0
    eta_growing_seconds: Seconds = 60.0
    capacity_factor: Annotated[float, Field(ge=1, le=10)] = 1.2
    capacity_seconds: Seconds = 120.0
    goodput_ratio: Annotated[float, Field(gt=0, le=1)] = 0.8
    goodput_seconds: Seconds = 60.0
    goodput_least: Annotated[int, Field(gt=0, le=100_000)] = 20
    finality_seconds: Seconds | None = None
    head_seconds: Seconds | None = None
    blockhash_positions: Annotated[int, Field(ge=0, le=150)] | None = None
    lag_positions: Annotated[int, Field(gt=0, le=1_000_000)] = 128
    broadcast_paths: Annotated[int, Field(gt=0, le=16)] = 1
    ramp_step: Annotated[float, Field(gt=0, le=1)] = 0.1
    ramp_seconds: Seconds = 60.0
    backfill_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    backfill_growth: Annotated[float, Field(gt=0, le=10)] = 0.1
    backfill_seconds: Seconds = 10.0
    stagger_seconds: Seconds = 10.0

    def for_family(self, family: str) -> PauseSettings:
        """The numbers in force. Ethereum becomes final after 13 minutes and has a block each 12 s; Solana after 13 s
        with a slot each 0.4 s, and its blockhashes live for 150 blocks, of which half must be left."""
        usual = _FAMILY[family]
        chosen = {name: value for name, value in self.model_dump().items() if value is not None}
        return PauseSettings(**{**usual, **chosen})


_FAMILY: dict[str, dict[str, float]] = {
    "evm": {"finality_seconds": 900.0, "head_seconds": 120.0, "blockhash_positions": 0},
    "solana": {"finality_seconds": 30.0, "head_seconds": 15.0, "blockhash_positions": 75},
}
