"""The table of errors is complete and says one thing for each code."""

from __future__ import annotations

import ast
import re

import pytest

from custody.api.errors import TABLE, ApiCode, ApiProblem, address_problem
from custody.envelope.errors import EnvelopeCode
from custody.ledger.rejections import Rejection
from tools.sources import sources

NAMED_BY_CHAINS = re.compile(r"`([a-z_]+)`")


def test_every_rejection_has_its_status_and_keeps_its_flag() -> None:
    for rejection in Rejection:
        row = TABLE[rejection.code]
        assert 400 <= row.status < 500
        assert (row.transient, row.message) == (rejection.transient, rejection.advice)


def test_every_envelope_and_read_code_has_its_status() -> None:
    assert all(400 <= TABLE[code.value].status < 500 for code in EnvelopeCode)


def test_every_address_code_that_chains_name_or_raise_is_in_the_table() -> None:
    found: set[str] = set()
    for source in sources("chains"):
        for node in ast.walk(source.tree):
            match node:
                case ast.Call(func=ast.Name(id="AddressError"), args=[ast.Constant(value=str(code)), *_]):
                    found.add(code)
                case ast.ClassDef(name="AddressError"):
                    found.update(NAMED_BY_CHAINS.findall(ast.get_docstring(node) or ""))
                case _:
                    pass
    assert {"address_malformed", "address_checksum", "account_absent"} <= found
    assert found <= TABLE.keys()


def test_codes_are_said_once_and_in_one_form() -> None:
    own = [code.code for code in ApiCode]
    inherited = {code.code for code in Rejection} | {code.value for code in EnvelopeCode}
    assert len(own) == len(set(own))
    assert not inherited & set(own)
    assert all(re.fullmatch(r"[a-z0-9_]{3,40}", code) for code in TABLE)
    assert all(row.message[-1] in ".?" for row in TABLE.values())


def test_only_what_is_nobodys_fault_is_a_server_error() -> None:
    assert {code for code, row in TABLE.items() if row.status >= 500} == {"busy", "storage", "internal"}
    assert all(TABLE[code].transient for code in ("busy", "storage", "internal"))


def test_an_address_code_nobody_listed_is_still_a_refusal() -> None:
    fault = address_problem("address_haunted", "boo")
    assert isinstance(fault, ApiProblem)
    assert (fault.problem.code, fault.message) == ("address_not_payable", "boo")


@pytest.mark.parametrize("code", sorted(TABLE))
def test_a_code_names_itself(code: str) -> None:
    assert TABLE[code].code == code
