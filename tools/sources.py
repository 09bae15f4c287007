"""Reading our own source: which files a rule looks at, and which comments stand on which line.

Every house rule that a machine checks starts from these, so that all of them agree about what the project's source is.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Source:
    """One Python file: its path relative to the project, its text, and what follows from the text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; a file that doesn't parse raises `SyntaxError` with its own path."""
        return ast.parse(self.text, filename=self.path)

    @cached_property
    def comments(self) -> dict[int, str]:
        """Line number → the comment on that line, without the `#` and its spaces."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}

    @property
    def lines(self) -> int:
        """How many lines the file has."""
        return self.text.count("\n")

    def excused(self, node: ast.expr | ast.stmt, word: str) -> str:
        """The reason given by a `# word: reason` comment on a line of this node, or nothing."""
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
            reason = self.comments.get(line, "").partition(f"{word}:")
            if reason[1] and reason[2].strip():
                return reason[2].strip()
        return ""


def sources(*tops: str, root: Path = ROOT) -> Iterator[Source]:
    """All Python files below the given folders (or the given files) of the project, in the order of their paths."""
    for top in tops:
        place = root / top
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            yield Source(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))
