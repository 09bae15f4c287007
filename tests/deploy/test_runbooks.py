"""The documents' command lines: what they tell a tired person to type exists, to the last option."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import click
import pytest

from custody.custodyctl import main as custodyctl
from custody.custodyd import main as custodyd
from custody.signing.custodysigner import main as signer

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted((ROOT / "deploy/runbooks").glob("*.md")),
    ROOT / "deploy/README.md",
    ROOT / "README.md",
]
PROGRAMS: dict[str, click.Command] = {"custodyctl": custodyctl, "custodyd": custodyd, "custody-signer": signer}
UNITS = {unit.stem for unit in (ROOT / "deploy/systemd").iterdir()}

_BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)#]+)(?:#[^)]*)?\)")
_INLINE = re.compile(r"`((?:custodyctl|custodyd|custody-signer) [a-z][^`|\[]*)`")


def blocks(page: Path, kind: str) -> list[str]:
    return [found["text"] for found in _BLOCK.finditer(page.read_text()) if found["kind"] == kind]


def commands(page: Path) -> Iterator[list[str]]:
    """Every line of a shell block as words, continued lines joined, redirections left out."""
    for text in blocks(page, "sh"):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words[: words.index(">")] if ">" in words else words


def ours(words: list[str]) -> list[str]:
    """From the name of one of our programs on: what stands before it (systemd-run, a path) is somebody else's."""
    words = words[: words.index("&&")] if "&&" in words else words
    if words[0] in ("systemctl", "journalctl", "install", "usermod"):
        return []  # there the name is a unit or a user
    for place, word in enumerate(words):
        name = word.rpartition("/bin/")[2]
        if name in PROGRAMS:
            return [name, *words[place + 1 :]]
    return []


def mentioned(page: Path) -> Iterator[list[str]]:
    """Our command lines within sentences; these may leave out what a command must have."""
    yield from (shlex.split(text) for text in _INLINE.findall(page.read_text()))


def understood(command: click.Command, name: str, words: list[str], parent: click.Context | None = None) -> None:
    """Parse as the program would, without doing it. Raises `click.UsageError`."""
    try:
        context = command.make_context(name, list(words), parent=parent)
    except click.BadParameter as exc:
        # A file that an example names is on another machine. Unknown options were refused before.
        if isinstance(exc.param, click.Parameter) and isinstance(exc.param.type, click.Path) and exc.param.type.exists:
            return
        raise
    if isinstance(command, click.Group):
        # Where click keeps a group's words until it is invoked; it has no public name for them.
        left = [*context._protected_args, *context.args]
        if not left and command.invoke_without_command:
            return  # a group that says something by itself
        called, found, remaining = command.resolve_command(context, left)
        assert found is not None
        understood(found, called or "", remaining, context)


def cases(lines: Callable[[Path], Iterator[list[str]]]) -> list[object]:
    return [
        pytest.param(words, id=f"{page.parent.name}/{page.name}: {' '.join(words)}"[:100])
        for page in PAGES
        for line in lines(page)
        if (words := ours(line))
    ]


@pytest.mark.parametrize("words", cases(commands))
def test_a_command_line_exists(words: list[str]) -> None:
    understood(PROGRAMS[words[0]], words[0], words[1:])


@pytest.mark.parametrize("words", cases(mentioned))
def test_a_mentioned_command_exists(words: list[str]) -> None:
    with suppress(click.MissingParameter):
        understood(PROGRAMS[words[0]], words[0], words[1:])


@pytest.mark.parametrize(
    "line",
    [
        "custodyctl stop",
        "custodyctl pause --reson x",
        "custodyctl brake relase",
        "custodyctl providers cordn first --reason x",
        "custodyctl providers cordon --reason x",
        "custodyctl providers uncordon first",
        "custodyctl --wait x status",
        "custodyd rejoin --statment x",
        "custodyd rejoin --statement x --kye y",
    ],
)
def test_a_wrong_one_is_caught(line: str) -> None:
    words = line.split()
    with pytest.raises(click.UsageError):
        understood(PROGRAMS[words[0]], words[0], words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_units_and_links_exist(page: Path) -> None:
    for words in commands(page):
        if words[0] == "systemctl":
            named = [word.partition(".")[0] for word in words[2:] if word.startswith("custody")]
            assert set(named) <= UNITS, words
        if words[0] == "journalctl":
            assert {unit for flag, unit in pairwise(words) if flag == "-u"} <= UNITS, words
    for found in _LINK.finditer(page.read_text()):
        if "://" not in found["target"]:
            assert (page.parent / found["target"]).exists(), found["target"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_python_in_a_page_is_python(page: Path) -> None:
    for text in blocks(page, "python"):
        compile(text, page.name, "exec", flags=0x2000)  # PyCF_ALLOW_TOP_LEVEL_AWAIT: an example may await
