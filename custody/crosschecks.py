"""What a person's files name of one another, read as it stands: a fault in one of them must hide none in the others.

A file with a fault has no settings, and yet says which chain it is for or which assets it lists. These are read here,
as far as they can be, without a word about the file itself: its faults were told where it was read as settings.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from custody.configuration import Reading
from custody.policy.parameters import BY_NAME, Parameter, Scope


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What other files refer to in a chain's file, which may have faults. Empty, or 0 providers: not to be read."""

    file: Path
    chain: str
    family: str
    providers: int


def content(path: Path) -> dict[str, object]:
    """A file as it stands. Its faults have been told where it was read as settings."""
    return Reading().content(path) or {}


def tables(table: dict[str, object], key: str) -> list[dict[str, object]]:
    """The tables of an array, an empty one for each entry that is something else, so that places stay."""
    found = table.get(key)
    return [item if isinstance(item, dict) else {} for item in found] if isinstance(found, list) else []


def asset_names(path: Path) -> list[str] | None:
    """None if not all can be read: then nobody can say what is no asset."""
    names = [item.get("asset") for item in tables(content(path), "assets")]
    found = [name for name in names if isinstance(name, str)]
    return found if found and len(found) == len(names) else None


def check_policy(path: Path, scopes: dict[Scope, list[str] | None], chains: dict[str, Named], reading: Reading) -> None:
    """Complain of what does not fit the other files, by what stands there, so that a wrong value in one line hides
    nothing in another. `scopes`: the names there are, None where they are not known."""
    for place, item in enumerate(tables(content(path), "parameters")):
        name, scope, value = item.get("name"), item.get("scope"), item.get("value")
        if not (isinstance(name, str) and isinstance(scope, str)):
            continue
        known = BY_NAME.get(name)
        if known is None:
            reading.complain(path, f"parameters[{place}].name", "there is no parameter of this name")
            continue
        names = scopes[known.scope]
        if names is not None and scope not in names:
            reading.complain(path, f"parameters[{place}].scope", f"not a configured {known.scope.value}")
        chain = chains.get(scope)
        if known is Parameter.DEATH_QUORUM and chain is not None and _never_dead(value, chain):
            reading.complain(
                path,
                f"parameters[{place}].value",
                f"{scope} has {chain.providers} providers: with more asked for, no attempt could ever be called dead",
            )


def _never_dead(value: object, chain: Named) -> bool:
    if chain.family != "solana" or chain.providers == 0 or not isinstance(value, str):
        return False
    return value.isascii() and value.isdecimal() and len(value) < 40 and int(value) > chain.providers
