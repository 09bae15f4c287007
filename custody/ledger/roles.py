"""The narrow roles a key may have. A key does one job, so that a stolen one opens one door."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Who may say what; `transactions` names the roles of each type."""

    WATCHER = "watcher"  # what stands on a chain
    COMPOSER = "composer"  # which message an attempt consists of
    SIGNER = "signer"  # addresses and signed bytes
    SEQUENCER = "sequencer"  # seals blocks, says nothing
    RELAY = "relay"  # speaks for local operators and automatic code: tightens, never loosens
    ENGINE = "engine"  # transfers
    PAYOUTS = "payouts"  # withdrawals
    SECURITY = "account-security"  # allow-lists and locks of accounts
    OPERATOR = "operator"  # approvals, resuming
    ADMIN = "admin"  # keys, assets, chains, parameters: by quorum
