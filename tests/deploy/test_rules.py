"""The alert rules: promtool takes them, they fire when they must, and they ask for what the daemon exports."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.exported import FROM_PROMETHEUS, asked, exported, faults
from tests.tools import require_tool

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules.yml"
TESTS = ROOT / "deploy/prometheus/rules_test.yml"
ALERT = re.compile(r"- alert: (?P<name>\w+)\n\s+expr: (?P<expr>.+)\n(?P<rest>(?:(?!\s+- alert:).*\n)*)")

EXPORTED = exported()
KNOWN = {**EXPORTED, **FROM_PROMETHEUS}
ALERTS = {found["name"]: found for found in ALERT.finditer(RULES.read_text())}


def promtool(*words: str) -> str:
    done = subprocess.run(
        [require_tool("promtool"), *words], cwd=RULES.parent, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", RULES.name)


def test_every_alert_fires_when_it_must() -> None:
    promtool("test", "rules", TESTS.name)
    told = TESTS.read_text()
    for name in ALERTS:
        block = [part for part in told.split("alertname: ")[1:] if part.startswith(name)]
        assert any("exp_labels" in part for part in block), f"{name} is never seen to fire"


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_asks_for_what_is_exported(name: str) -> None:
    assert faults(ALERTS[name]["expr"], KNOWN) == []


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_names_a_runbook_that_exists(name: str) -> None:
    found = re.search(r"runbook: (\S+)", ALERTS[name]["rest"])
    assert found is None or (ROOT / found[1]).is_file()
    assert found is not None or "severity: ticket" in ALERTS[name]["rest"]


def test_the_comparison_sees_through_an_expression() -> None:
    names, labels = asked('sum by (le, chain) (rate(a_b{x="custody_up by (z)"}[5m])) + on (asset) custody_solvent')
    assert names == {"custody_solvent"}
    assert labels == {"a_b{x", "le", "chain", "asset"}


@pytest.mark.parametrize(
    "expression",
    [
        "custody_solvency == 0",
        'custody_solvent{chain="x"} == 0',
        "sum by (chain) (custody_solvent)",
        "custody_journal_append_seconds > 1",
        "chains_requests > 0",
        "vector(1)",
    ],
)
def test_a_wrong_expression_is_caught(expression: str) -> None:
    assert faults(expression, KNOWN)


def test_the_exported_names_are_those_of_the_contract() -> None:
    assert EXPORTED["custody_held"] == {"scope", "direction", "origin"}
    assert EXPORTED["chains_requests_total"] == {"chain", "provider", "method_class", "result"}
    assert "le" in EXPORTED["custody_journal_append_seconds_bucket"]
