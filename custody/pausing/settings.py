"""Every number by which a chain pauses and resumes, once, with its unit and its reason."""

from __future__ import annotations

import msgspec


class PauseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One chain's. Times are seconds; a rehearsal may shorten any of them."""

    poll_seconds: float = 0.5
    """Between two looks at what was measured."""
    survey_seconds: float = 5.0
    """Between two questions to every provider where it stands; while probing, `canary_seconds`."""
    canary_seconds: float = 1.0
    """Between two canaries: a survey each, which must find a quorum."""
    grace_seconds: float = 10.0
    """Trouble that lasts for less holds nothing: most of it is a restart somewhere."""
    sick_seconds: float = 5.0
    """A provider that has failed for so long without one good answer is no source."""
    drain_seconds: float = 30.0
    """What was under way when the hold was set may take so long to end."""
    hold_seconds: float = 60.0
    """A pause lasts at least so long, doubled by each flap …"""
    hold_cap_seconds: float = 900.0
    """… up to this."""
    flap_seconds: float = 1800.0
    """A pause that begins so soon after the last one ended is a flap."""
    window_seconds: float = 10.0
    """One window of canaries …"""
    windows: int = 3
    """… of which so many in a row must be clean before anything resumes …"""
    canary_ratio: float = 0.99
    """… where clean is at least this part of them answered."""
    eta_seconds: float = 600.0
    """A cursor that needs longer than this to reach finality …"""
    eta_growing_seconds: float = 60.0
    """… and for so long needs ever longer, is losing."""
    capacity_factor: float = 1.2
    """Providers must bear so many times what the chain requires …"""
    capacity_seconds: float = 120.0
    """… and may fall short of it for so long: a throttle's cut is over before."""
    goodput_ratio: float = 0.8
    """Of the reads at the head, at least this part must be answered …"""
    goodput_seconds: float = 60.0
    """… over so long; and it is measured over as long."""
    goodput_least: int = 20
    """Reads in that time below which a ratio is noise."""
    finality_seconds: float = 900.0
    """How long this chain usually takes from inclusion to finality, generously: nothing final for twice as long, or an
    attempt of ours that can't be followed for as long, and it is no longer usual."""
    head_seconds: float = 120.0
    """Without a new block for so long, fees and nonces are stale."""
    lag_positions: int = 128
    """A provider whose finality is so far behind the best one's is no source."""
    blockhash_positions: int = 0
    """So far behind finality our own cursor may be while its blockhashes are used for payments; 0: this chain has
    none."""
    broadcast_paths: int = 1
    """Providers that must be ready to take a transaction."""
    ramp_step: float = 0.1
    """After a pause withdrawals begin with this part of what may be in flight, and add as much …"""
    ramp_seconds: float = 60.0
    """… each time this has passed."""
    backfill_share: float = 0.5
    """Catching up after a pause takes at most this part of what live demand leaves …"""
    backfill_growth: float = 0.1
    """… and more by this part of it …"""
    backfill_seconds: float = 10.0
    """… each time this has passed."""
    stagger_seconds: float = 10.0
    """Between two chains that share a provider's account and both want to resume."""
