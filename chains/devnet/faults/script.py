"""An outage as a file: which fault from when on, so that a rehearsal can be repeated and its script be reviewed.

TOML:

    [[steps]]
    at = 30                 # seconds from the start
    fault = "http_429"
    retry_after = 5         # the fault's own fields stand beside it
    note = "the provider begins to throttle"

JSON is the same: `{"steps": [{"at": 30, "fault": "http_429", "retry_after": 5}]}`.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path

import msgspec

from chains.devnet.faults.catalogue import AnyFault, FaultInvalid, convert_fault

STEPS = 1_000
"""Steps of one script: a change a minute for sixteen hours."""

LONGEST = 7 * 86_400.0
"""Seconds a script may last: a rehearsal of a week."""

TEXT_LIMIT = 256 * 1024
"""Bytes of a script: a thousand steps with notes."""


DEPTH_LIMIT = 64
"""Brackets open at once, those in texts included: layers of flapping of some of … end long before."""

_NESTING = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """From `at` seconds on this fault; `note` is for people."""

    at: float
    fault: AnyFault
    note: str = ""


class Script(msgspec.Struct, frozen=True):
    """Steps in ascending order of time; the last one's fault stays."""

    steps: tuple[Step, ...]


def read_script(text: bytes, *, toml: bool) -> Script:
    """A script from TOML or JSON. Raises `FaultInvalid`, naming the step."""
    if len(text) > TEXT_LIMIT:
        raise FaultInvalid(f"a script of more than {TEXT_LIMIT} bytes")
    if max(accumulate(_NESTING.get(byte, 0) for byte in text), default=0) > DEPTH_LIMIT:
        # Before the decoder, whose own limit is the interpreter's, which other code may have raised past the C stack.
        raise FaultInvalid(f"nested in a depth of more than {DEPTH_LIMIT}")
    try:
        document = msgspec.toml.decode(text) if toml else msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise FaultInvalid(str(exc)) from exc
    if not isinstance(document, dict) or document.keys() != {"steps"} or not isinstance(document["steps"], list):
        raise FaultInvalid("a script holds a list of steps and nothing else")
    if not 1 <= len(document["steps"]) <= STEPS:
        raise FaultInvalid(f"a script has between 1 and {STEPS} steps")
    steps = tuple(_step(number, table) for number, table in enumerate(document["steps"], 1))
    for number, (before, after) in enumerate(pairwise(steps), 2):
        if after.at <= before.at:
            raise FaultInvalid(f"step {number}: at {after.at:g} is not after {before.at:g}")
    return Script(steps)


def load_script(path: Path) -> Script:
    """A script from a file, TOML or JSON by its suffix. Raises `FaultInvalid`."""
    if path.suffix not in {".toml", ".json"}:
        raise FaultInvalid(f"{path}: a script's name ends in .toml or .json")
    try:
        text = path.read_bytes()
    except OSError as exc:
        raise FaultInvalid(f"{path}: {exc.strerror}") from exc
    try:
        return read_script(text, toml=path.suffix == ".toml")
    except FaultInvalid as exc:
        raise FaultInvalid(f"{path}: {exc}") from exc


async def play(script: Script, switch: Callable[[Step], None], clock: Callable[[], float]) -> None:
    """Hand each step to `switch` when its time has come, counted from now on; a late step doesn't delay the next."""
    began = clock()
    for step in script.steps:
        await asyncio.sleep(max(0.0, began + step.at - clock()))
        switch(step)


def as_table(step: Step) -> dict[str, object]:
    """A step as a script writes it, for showing."""
    table: dict[str, object] = {"at": step.at} | json.loads(msgspec.json.encode(step.fault))
    return table | {"note": step.note} if step.note else table


def _step(number: int, table: object) -> Step:
    if not isinstance(table, dict):
        raise FaultInvalid(f"step {number}: not a table")
    at, note = table.pop("at", None), table.pop("note", "")
    if isinstance(at, bool) or not isinstance(at, (int, float)) or not (math.isfinite(at) and 0 <= at <= LONGEST):
        raise FaultInvalid(f"step {number}: `at` is a number of seconds between 0 and {LONGEST:.0f}")
    if not isinstance(note, str):
        raise FaultInvalid(f"step {number}: `note` is a text")
    try:
        return Step(at=float(at), fault=convert_fault(table), note=note)
    except FaultInvalid as exc:
        raise FaultInvalid(f"step {number}: {exc}") from exc
