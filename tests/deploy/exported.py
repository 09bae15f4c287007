"""What the daemon really exports, and what an expression asks for: names and labels, compared in the tests beside."""

from __future__ import annotations

import re

from custody.telemetry import Metrics
from custody.views.books import Books
from custody.views.facts import Facts
from custody.views.tallies import Tallies

FROM_PROMETHEUS = {"up": frozenset({"job", "instance"})}
"""Series that the scraper itself makes."""
SCRAPE_LABELS = frozenset({"job", "instance"})

_NAME = re.compile(r"\b(?:custody|chains)_[a-z0-9_]+\b|\bup\b")
_MATCHERS = re.compile(r"(?P<name>[a-z_][a-z0-9_]*)\{(?P<inside>[^}]*)\}")
_LABEL = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring)\s*\((?P<inside>[^)]*)\)")
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')


def exported() -> dict[str, frozenset[str]]:
    """Series name → its labels, of a daemon that has seen nothing yet."""
    books = Books()
    facts = Facts(version="0", started=0, ready=True, waiting_for="", latches=(), chains=())
    metrics = Metrics(books, Tallies(books), lambda: facts)
    series: dict[str, frozenset[str]] = {}
    for collector in list(metrics.registry._collector_to_names):  # the registry has no public way to list them
        known = getattr(collector, "_labelnames", None)
        for family in collector.collect():
            labels = frozenset(known if known is not None else getattr(family, "_labelnames", ()))
            match family.type:
                case "counter":
                    series[f"{family.name}_total"] = labels
                case "histogram":
                    series[f"{family.name}_bucket"] = labels | {"le"}
                    series[f"{family.name}_sum"] = series[f"{family.name}_count"] = labels
                case _:
                    series[family.name] = labels
    return series


def asked(expression: str) -> tuple[frozenset[str], frozenset[str]]:
    """(names of series, labels) in an expression, each label qualified where it stands in a matcher: `name{label`."""
    named: set[str] = set()
    for found in _MATCHERS.finditer(expression):
        named.update(f"{found['name']}{{{label}" for label in _LABEL.findall(found["inside"]))
    plain = _TEXT.sub('""', expression)
    named.update(label.strip() for found in _GROUPING.finditer(plain) for label in found["inside"].split(","))
    bare = _GROUPING.sub(" ", re.sub(r"\{[^}]*\}", "", plain))
    return frozenset(_NAME.findall(bare)), frozenset(named)


def faults(expression: str, known: dict[str, frozenset[str]]) -> list[str]:
    """What an expression asks for that nobody exports."""
    names, labels = asked(expression)
    wrong = [f"{name} is not exported" for name in sorted(names) if name not in known]
    if not names:
        wrong.append("asks for no series at all")
    everywhere = frozenset(label for name in names for label in known.get(name, frozenset())) | SCRAPE_LABELS
    for label in sorted(labels):
        name, brace, bare = label.rpartition("{")
        there = known.get(name, frozenset()) | SCRAPE_LABELS if brace else everywhere
        if bare not in there:
            wrong.append(f"{label}: no such label")
    return wrong
