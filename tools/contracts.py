"""The import contract of a room, as an allow-list: what it may import, and what it may never reach by any path.

import-linter's own contracts forbid, and a list of what is forbidden is never finished: the next I/O library is not on
it. A room's contract says what is allowed instead. It looks at direct imports only, which is enough by induction: a
pure room may import pure rooms, and each of those has a contract of its own. What must hold along every path, through
rooms that are not pure as well, goes into `never_reach`.

A room that matches no module breaks its contract, so that renaming a package can't silently switch its guard off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class RoomContract(Contract):
    """`rooms` may import themselves, each other and `may_import`, and nothing else; and must not reach `never_reach`.

    `rooms` are module expressions (`chains.*.codec`), each matched module standing for its whole package, less those
    in `excluding`. `may_import` takes module expressions and names of external or standard packages. With `of`, only
    imports of those top packages are judged, and everything else is allowed. `never_reach` takes the same names and is
    judged along every path. `awaited` names rooms that have no inhabitants yet; one that has moved in is warned of.
    """

    type_name = "room"

    rooms = fields.ListField(subfield=fields.StringField())
    excluding = fields.ListField(subfield=fields.StringField(), required=False, default=[])
    may_import = fields.ListField(subfield=fields.StringField(), required=False)
    of = fields.ListField(subfield=fields.StringField(), required=False, default=[])
    never_reach = fields.ListField(subfield=fields.StringField(), required=False, default=[])
    awaited = fields.ListField(subfield=fields.StringField(), required=False, default=[])

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Judge the whole graph; the sentences of what is broken are kept in the check's metadata."""
        clauses = _Clauses(**{name: self.contract_options.get(name, []) for name in _Clauses.__slots__})
        members = _members(graph, clauses.rooms) - _members(graph, clauses.excluding)
        output.verbose_print(verbose, f"Judging {len(members)} modules...")
        faults = [*_absences(graph, clauses)]
        if "may_import" in self.contract_options:
            faults += _strays(graph, clauses, members)
        faults += _paths(graph, clauses, members)
        arrived = [
            f"{room} has moved in: take it off `awaited`." for room in clauses.awaited if _members(graph, [room])
        ]
        return ContractCheck(kept=not faults, metadata={"faults": faults}, warnings=arrived)

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One line for each fault, in the order they were found."""
        for fault in check.metadata["faults"]:
            output.print_error(f"- {fault}", bold=False)
        output.new_line()


@dataclass(frozen=True, slots=True)
class _Clauses:
    """A contract's options as plain lists: import-linter's fields are typed as the descriptors that declare them."""

    rooms: list[str]
    excluding: list[str]
    may_import: list[str]
    of: list[str]
    never_reach: list[str]
    awaited: list[str]


def _absences(graph: ImportGraph, clauses: _Clauses) -> Iterator[str]:
    for room in clauses.rooms:
        if room not in clauses.awaited and not _members(graph, [room]):
            yield f"{room} matches no module: was it renamed? This contract no longer guards it."


def _strays(graph: ImportGraph, clauses: _Clauses, members: set[str]) -> Iterator[str]:
    allowed = members | _members(graph, clauses.may_import)
    for importer in sorted(members):
        for imported in sorted(graph.find_modules_directly_imported_by(importer) - allowed):
            if not clauses.of or imported.partition(".")[0] in clauses.of:
                yield f"{_place(graph, importer, imported)}: not among what this room may import"


def _paths(graph: ImportGraph, clauses: _Clauses, members: set[str]) -> Iterator[str]:
    for target in sorted(_members(graph, clauses.never_reach) - members):
        for importer in sorted(members):
            chain = graph.find_shortest_chain(importer=importer, imported=target)
            # A path that passes through another member is that member's fault, and is told there.
            if chain is not None and not members & set(chain[1:]):
                yield f"{_place(graph, chain[0], chain[1])}: reaches {' -> '.join(chain[1:])}"


def _members(graph: ImportGraph, expressions: list[str]) -> set[str]:
    """The modules that the expressions match, with everything inside them. Absent modules are simply not among them."""
    tops: set[str] = set()
    for expression in expressions:
        if "*" in expression:
            tops |= graph.find_matching_modules(expression)
        elif expression in graph.modules:
            tops.add(expression)
    return tops.union(*(graph.find_descendants(top) for top in tops if not graph.is_module_squashed(top)))


def _place(graph: ImportGraph, importer: str, imported: str) -> str:
    """`importer:line imports imported`, with the first of the lines that do so."""
    details = graph.get_import_details(importer=importer, imported=imported)
    line = min((detail["line_number"] for detail in details), default=0)
    return f"{importer}:{line} imports {imported}"
