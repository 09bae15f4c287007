"""The pure rooms are pure, and each rule that says so is seen to catch what it is for."""

from __future__ import annotations

import pytest

from tools.purity import TIMED, Fault, judge, pure_rooms
from tools.sources import Source

DECLARED = Source(
    "state.py",
    """
KINDS = frozenset(("a", "b"))
LIMITS: Mapping[str, int] = {"b": 1, "a": 2}


class Said:
    balances: tuple[int, ...]


class State:
    balances: dict[str, int]
    ids: frozenset[str] | None
    log: tuple[str, ...]
""",
)

IMPURE = {
    "float literal": "fee = 0.1",
    "float call": "def f(x: int) -> int:\n    return int(float(x))",
    "float annotation": "def f(x: float) -> None: ...",
    "true division": "def f(x: int) -> int:\n    return int(x / 2)",
    "true division in place": "def f(x: int) -> None:\n    x /= 2",
    "rounding": "def f(x: int) -> int:\n    return round(x)",
    "negative power": "unit = 10**-18",
    "clock": "import time",
    "clock by from": "from datetime import datetime",
    "chance": "import random",
    "secret chance": "from secrets import token_bytes",
    "environment": "import os.path",
    "unique ids": "import uuid",
    "file": "def f() -> object:\n    return open('x')",
    "print": "print('x')",
    "input": "x = input()",
    "eval": "x = eval('1')",
    "globals": "x = globals()",
    "global": "def f() -> None:\n    global x\n    x = 1",
    "hash": "def f(x: str) -> int:\n    return hash(x)",
    "identity": "def f(x: list[str]) -> None:\n    x.sort(key=id)",
    "set display": "for x in {1, 2}:\n    pass",
    "set comprehension": "def f(y: list[int]) -> list[int]:\n    return [x for x in {z for z in y}]",
    "set call": "def f(y: list[int]) -> None:\n    for x in set(y):\n        pass",
    "set parameter": "def f(y: frozenset[int]) -> list[int]:\n    return [x for x in y]",
    "set union": "def f(y: set[int], z: set[int]) -> tuple[int, ...]:\n    return tuple(y | z)",
    "set method": "def f(y: set[int], z: list[int]) -> list[int]:\n    return list(y.intersection(z))",
    "set variable": "def f(y: list[int]) -> None:\n    seen = set(y)\n    for x in seen:\n        pass",
    "set field": "def f(state: State) -> str:\n    return ','.join(state.ids)",
    "set unpacked": "def f(y: set[int]) -> list[int]:\n    return [0, *y]",
    "set popped": "def f(y: set[int]) -> int:\n    return y.pop()",
    "set shown": "def f(y: set[int]) -> str:\n    return f'{y}'",
    "first of a set": "def f(y: set[int]) -> int:\n    return next(iter(y))",
    "smallest by a key": "def f(y: set[int]) -> int:\n    return min(y, key=abs)",
    "sorted by a key, ties as they came": "def f(y: set[str]) -> list[str]:\n    return sorted(y, key=len)",
    "constant set": "NAMES = frozenset(('a', 'b'))\nx = list(NAMES)",
    "another file's constant set": "from state import KINDS\nx = list(KINDS)",
    "constant dict with another inside": "RULES = {'a': 1, **other}\nx = list(RULES)",
    "dict display": "for x in {1: 2}:\n    pass",
    "dict parameter": "def f(y: dict[str, int]) -> None:\n    for x in y:\n        pass",
    "mapping in a union": "def f(y: 'Mapping[str, int] | None') -> list[str]:\n    return list(y or ())",
    "items": "def f(y: object) -> list[object]:\n    return [v for k, v in y.items()]",
    "values": "def f(y: object) -> None:\n    for x in y.values():\n        pass",
    "keys": "def f(y: object) -> None:\n    yield from y.keys()",
    "dict field": "def f(state: State) -> tuple[str, ...]:\n    return tuple(state.balances)",
    "items by their values": "def f(y: dict[str, int]) -> object:\n    return sorted(y.items(), key=lambda x: x[1])",
    "field of nobody knows what": "def f(y: object) -> object:\n    return tuple(y.balances)",
    "dict field by variable": "def f(state: State) -> None:\n    y = state.balances\n    for x in y:\n        pass",
    "dict comprehension over a dict": "def f(y: dict[str, int]) -> dict[str, int]:\n    return {k: y[k] for k in y}",
    "popitem": "def f(y: dict[str, int]) -> object:\n    return y.popitem()",
    "alias": "Book = dict[str, int]\ndef f(y: Book) -> None:\n    for x in y:\n        pass",
    "result": "def g() -> set[int]: ...\ndef f() -> list[int]:\n    return [x for x in g()]",
    "excuse without a reason": "for x in {1, 2}:  # ordered:\n    pass",
    "excuse that excuses nothing": "for x in [1, 2]:  # ordered: it is a list\n    pass",
}

PURE = {
    "sorted set": "for x in sorted({2, 1}):\n    pass",
    "sorted items": "def f(y: dict[str, int]) -> list[int]:\n    return [v for k, v in sorted(y.items())]",
    "sorted generator": "def f(y: dict[str, int]) -> list[str]:\n    return sorted(k for k in y)",
    "items by their key": "def f(y: dict[str, object]) -> object:\n    return sorted(y.items(), key=lambda x: x[0])",
    "a class that has a tuple by that name": "def f(y: state.Said) -> list[int]:\n    return list(y.balances)",
    "a class that was asked for": "assert isinstance(y, state.Said)\nz = list(y.balances)",
    "a matched class": "match x:\n    case state.Said() as y:\n        z = list(y.balances)",
    "sum of values": "def f(y: dict[str, int]) -> int:\n    return sum(y.values())",
    "any of a set": "def f(y: set[int]) -> bool:\n    return any(x > 1 for x in y)",
    "largest without a key": "def f(y: set[int]) -> int:\n    return max(y)",
    "membership": "def f(y: set[int]) -> bool:\n    return 1 in y",
    "set from a set": "def f(y: set[int]) -> set[int]:\n    return {x + 1 for x in y}",
    "tuple field": "def f(state: State) -> None:\n    for x in state.log:\n        pass",
    "another function's name": "def f(y: set[int]) -> None: ...\ndef g(y: str) -> None:\n    for x in y:\n        pass",
    "constant dict, in the order it is written": "RULES = {'b': 1, 'a': 2}\nfor x in RULES.items():\n    pass",
    "another file's constant dict": "from state import LIMITS\nfor x in LIMITS:\n    pass",
    "sorted backwards": "def f(y: set[int]) -> list[int]:\n    return sorted(y, reverse=True)",
    "floor division": "def f(x: int) -> int:\n    return x // 2",
    "excused": "def f(y: dict[str, int]) -> None:\n    for x in y:  # ordered: filled from a tuple\n        pass",
    "a field named like a builtin": "class A:\n    hash: str\ndef f(a: A) -> str:\n    return a.hash",
}


@pytest.mark.parametrize("planted", IMPURE.values(), ids=IMPURE.keys())
def test_planted_impurity_is_caught(planted: str) -> None:
    faults = judge([DECLARED, Source("planted.py", f"{planted}\n")], floats=False)
    assert {fault.path for fault in faults} == {"planted.py"}


@pytest.mark.parametrize("accepted", PURE.values(), ids=PURE.keys())
def test_pure_code_is_left_alone(accepted: str) -> None:
    assert judge([DECLARED, Source("accepted.py", f"{accepted}\n")], floats=False) == []


def test_rooms_that_count_seconds_may_use_floats_and_nothing_else() -> None:
    timed = Source("limiter.py", "def refill(now: float) -> float:\n    return now / 2.0\n")
    assert judge([timed], floats=True) == []
    assert judge([Source("limiter.py", "import time\n")], floats=True)


def test_a_fault_says_where_it_is() -> None:
    [fault] = judge([Source("custody/ledger/state.py", "\n\nx = 0.5\n")], floats=False)
    assert fault == Fault("custody/ledger/state.py", 3, "`0.5`: amounts are integers, a float rounds")
    assert str(fault).startswith("custody/ledger/state.py:3: ")


def test_the_list_of_pure_rooms_is_not_empty() -> None:
    rooms = pure_rooms()
    assert set(TIMED) <= set(rooms)
    assert {"chains/observations.py", "chains/ports.py"} <= {file.path for file in rooms["pure-pool"]}
    assert "custody/pausing/machine.py" in {file.path for file in rooms["pure-pausing"]}
    assert "custody/ledger/amounts.py" in {file.path for file in rooms["pure-ledger"]}


@pytest.mark.parametrize("contract", pure_rooms().keys())
def test_pure_rooms_are_pure(contract: str) -> None:
    faults = judge(pure_rooms()[contract], floats=contract in TIMED)
    assert not faults, "\n".join(map(str, faults))
