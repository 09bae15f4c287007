"""The state root: what a leaf is, that any touched row moves it, and that the order of touching does not."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from custody.ledger import roots
from custody.ledger.state import Counters, State, Table
from tests.custody.ledger.world import ETH, World, busy, replayed


def test_a_leaf_is_spelled_as_the_docstring_says() -> None:
    key = roots.leaf_key("balances", ("USDC", "user:a/held"))
    assert key == b'["balances","USDC","user:a/held"]'
    row = Counters(deposits=2, withdrawals=1 << 100)
    encoded = b'{"deposits":2,"withdrawals":1267650600228229401496703205376}'
    leaf = hashlib.sha256(b"custody/leaf/1\0" + key + b"\0" + encoded).digest()
    assert roots.leaf(key, row) == leaf
    assert roots.leaf(key, None) == hashlib.sha256(b"custody/leaf/1\0" + key + b"\0null").digest()
    root = hashlib.sha256(b"custody/root/1\0" + bytes(32) + leaf).digest()
    assert roots.chain(roots.EMPTY_ROOT, [(key, row)]) == root


@given(st.dictionaries(st.binary(min_size=1, max_size=5), st.integers(), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_touching_makes_no_difference(rows: dict[bytes, int], random: object) -> None:
    pairs = list(rows.items())
    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis's own Random
    assert roots.chain(bytes(32), pairs) == roots.chain(bytes(32), shuffled)


def test_every_table_is_under_the_root() -> None:
    names = []
    for place, _ in enumerate(State().tables()):
        state, untouched = State(), State()
        table = state.tables()[place]
        table.put(("x",), 1)
        names.append(table._name)
        assert state.seal() != untouched.seal(), table._name
    assert len(set(names)) == len(names)
    assert State().seal() != _counted().seal()
    left = set(State.__slots__) - set(names)
    assert left == {"counters", "ledger", "quorum", "root", "waiting"}, "what is no table is derived or in block 0"


def _counted() -> State:
    state = State()
    state.counters = Counters(deposits=1, withdrawals=0)
    return state


def test_a_removed_row_moves_the_root_and_a_root_moves_once() -> None:
    table: Table[int] = Table("t")
    table.put(("a", 1), 5)
    assert table.take_touched() == [(b'["t","a",1]', 5)]
    assert table.take_touched() == []
    table.drop(("a", 1))
    assert table.take_touched() == [(b'["t","a",1]', None)]
    assert (table.get("a", 1), len(table)) == (None, 0)


def test_rows_come_in_the_order_of_their_keys_whatever_their_history() -> None:
    table: Table[int] = Table("t")
    for number in (3, 1, 10, 2):
        table.put((number,), number)
    table.drop((1,))
    table.put((1,), 1)
    assert [key for key, _ in table.rows()] == [(1,), (2,), (3,), (10,)]


def test_the_root_names_one_history() -> None:
    """Two ledgers that agree on a root agree on every row; one whose row differs has another root."""
    world = busy()
    again = replayed(world.executed)
    assert again.state.root == world.state.root
    assert [list(table.rows()) for table in again.state.tables()] == [list(t.rows()) for t in world.state.tables()]
    other = busy()
    other.pay_in("bob", ETH, "0xUSDC", 11)
    world.pay_in("bob", ETH, "0xUSDC", 12)
    assert other.state.root != world.state.root


def test_a_block_touches_only_what_it_moved() -> None:
    world = World()
    world.hold("h")
    touched = [table.take_touched() for table in world.state.tables()]
    assert [rows for rows in touched if rows] == []
