"""The rules' numbers: which there are, what each is scoped by, and what holds where none was set.

They live in the ledger's state and change only by `parameter.set`, so that a configuration file on one machine can
never make two nodes decide differently.
"""

from __future__ import annotations

from enum import Enum


class Scope(Enum):
    """What a parameter is set for."""

    ASSET = "asset"
    CHAIN = "chain"


class Parameter(Enum):
    """`value` is (name, scope, default). Amounts of assets are in the asset's unit, of chains in the native unit."""

    LIMIT_PER_TRANSACTION = ("limit_per_transaction", Scope.ASSET, 0)  # 0: no limit
    LIMIT_DAILY = ("limit_daily", Scope.ASSET, 0)  # of an account, by UTC day; 0: no limit
    APPROVAL_ABOVE = ("approval_above", Scope.ASSET, 0)  # 0: none needs approval
    FEE_CAP = ("fee_cap", Scope.CHAIN, 0)  # fee and rent of one attempt, or a top-up; 0: nothing may be prepared
    ATTEMPTS = ("attempts", Scope.CHAIN, 1)  # attempts that may fail on chain before a withdrawal is released
    DEATH_QUORUM = ("death_quorum", Scope.CHAIN, 1)  # providers that must report an attempt absent

    @property
    def label(self) -> str:
        """The name in transactions and files."""
        return self.value[0]

    @property
    def scope(self) -> Scope:
        """What it is set for."""
        return self.value[1]

    @property
    def default(self) -> int:
        """What holds where nothing was set."""
        return self.value[2]


BY_NAME: dict[str, Parameter] = {parameter.label: parameter for parameter in Parameter}
