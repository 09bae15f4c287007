"""Ids are ASCII and plain, so that no two look alike, and none is taken for an account of the house."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.ledger import identifiers as ids


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (
            ids.is_identifier,
            ["a", "A-1", "0", "w.1_x", "x" * 64],
            ["", "-a", ".a", "a b", "a:b", "a/b", "x" * 65, "é", "a\n"],
        ),
        (ids.is_hold_id, ["auto:provider:ethereum:7", "a" * 128], ["", ":a", "a b", "a" * 129, "a\n"]),
        (ids.is_chain_name, ["ethereum", "e-1", "a" * 32], ["", "Ethereum", "1a", "a_b", "a" * 33, "a\n"]),
        (ids.is_asset_name, ["USDC", "A", "USDC.E", "A" * 16], ["", "usdc", "1INCH", "A" * 17, "A\n"]),
        (ids.is_digest, ["ab" * 32], ["", "AB" * 32, "ab" * 31, "ab" * 33, "zz" * 32, "ab" * 32 + "\n"]),
    ],
)
def test_forms(check, good: list[str], bad: list[str]) -> None:  # type: ignore[no-untyped-def]  # a table of checks
    assert [text for text in good if not check(text)] == []
    assert [text for text in bad if check(text)] == []


@given(st.text(max_size=70))
def test_no_user_account_is_the_houses(text: str) -> None:
    house = {ids.HOUSE_FEES, ids.HOUSE_CAPITAL, ids.HOUSE_NETWORK, ids.HOUSE_RENT, ids.PENDING}
    if ids.is_identifier(text):
        assert ids.available(text) not in house
        assert ids.available(text) != ids.held(text)
        assert text.isascii()


name = st.from_regex(r"\A[a-z][a-z0-9-]{0,8}\Z")
plain = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,8}\Z")


@given(st.tuples(name, plain, st.text(max_size=8)), st.tuples(name, plain, st.text(max_size=8)))
def test_two_places_on_chains_have_two_deposit_ids(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert (ids.deposit_id(*one) == ids.deposit_id(*other)) == (one == other)
