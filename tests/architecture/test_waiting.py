"""The two helpers that the other tests lean on: waiting with a deadline, and tools that may be absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.eventually import eventually, eventually_sync
from tests.tools import require_tool


async def test_it_returns_the_first_thing_seen() -> None:
    seen = iter(("", None, "third", "fourth"))

    async def look() -> str | None:
        return next(seen)

    assert await eventually(look, deadline_seconds=10) == "third"


def test_a_failed_assertion_means_not_yet() -> None:
    seen = iter((1, 2, 3))

    def look() -> bool:
        assert next(seen) == 3
        return True

    assert eventually_sync(look, deadline_seconds=10)


def test_the_deadline_tells_what_was_waited_for_and_last_seen() -> None:
    with pytest.raises(AssertionError, match=r"the deposit: not within 0 s; last seen: \[\]"):
        eventually_sync(list, deadline_seconds=0, what="the deposit")


def test_other_errors_are_not_waited_out() -> None:
    def look() -> bool:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        eventually_sync(look, deadline_seconds=10)


def test_an_absent_tool_is_skipped_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_TOOLS", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.skip.Exception, match="promtool is not installed: apt-get install prometheus"):
        require_tool("promtool")


def test_an_absent_tool_fails_where_all_were_promised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REQUIRE_TOOLS", "1")
    with pytest.raises(pytest.fail.Exception, match="anvil is not installed: make setup"):
        require_tool("anvil", tmp_path / "anvil")


def test_a_present_tool_is_found(tmp_path: Path) -> None:
    tool = tmp_path / "anvil"
    tool.touch(mode=0o755)
    assert require_tool("anvil", tool) == tool
