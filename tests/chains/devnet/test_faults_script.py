"""Scripts: what is read, what is refused and where, and that the steps come when they should."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from chains.devnet.faultproxy import FaultProxy
from chains.devnet.faults.__main__ import main as program
from chains.devnet.faults.catalogue import FaultInvalid, Flapping, described
from chains.devnet.faults.lies import HeadFreeze
from chains.devnet.faults.line import BlackHole
from chains.devnet.faults.overload import Healthy, TooManyRequests
from chains.devnet.faults.script import STEPS, TEXT_LIMIT, Script, Step, as_table, load_script, play, read_script
from tests.virtualtime import run

RUNBOOK = Path(__file__).parents[3] / "deploy/runbooks/rehearsal.md"

TOML = b"""
[[steps]]
at = 0
fault = "none"
note = "calm"

[[steps]]
at = 30
fault = "http_429"
retry_after = 5

[[steps]]
at = 60.5
fault = "flapping"
up = 2.0
down = { fault = "black_hole" }
"""

READ = Script(
    (
        Step(at=0.0, fault=Healthy(), note="calm"),
        Step(at=30.0, fault=TooManyRequests(retry_after=5)),
        Step(at=60.5, fault=Flapping(down=BlackHole(), up=2.0)),
    )
)


def test_toml_and_json_say_the_same() -> None:
    assert read_script(TOML, toml=True) == READ
    text = json.dumps({"steps": [as_table(step) for step in READ.steps]}).encode()
    assert read_script(text, toml=False) == READ


def steps(*tables: dict[str, object]) -> bytes:
    return json.dumps({"steps": tables}).encode()


CALM: dict[str, object] = {"at": 0, "fault": "none"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "malformed|truncated"),
        (b"[]", "a list of steps"),
        (b"{}", "a list of steps"),
        (b'{"steps": []}', "between 1 and"),
        (b'{"steps": [1]}', "step 1: not a table"),
        (b'{"steps": [], "extra": 1}', "nothing else"),
        (steps({"fault": "none"}), "step 1: `at`"),
        (steps({"at": True, "fault": "none"}), "step 1: `at`"),
        (steps({"at": -1, "fault": "none"}), "step 1: `at`"),
        (steps({"at": 10**9, "fault": "none"}), "step 1: `at`"),
        (steps(CALM, {"at": 0, "fault": "none"}), "step 2: at 0 is not after 0"),
        (steps(CALM, {"at": 5}), "step 2: .*fault"),
        (steps(CALM, {"at": 5, "fault": "gremlins"}), "step 2: .*gremlins"),
        (steps(CALM, {"at": 5, "fault": "http_429", "retry_aftr": 1}), "step 2: .*retry_aftr"),
        (steps({**CALM, "note": 7}), "step 1: `note`"),
        (steps(*(CALM for _ in range(STEPS + 1))), f"between 1 and {STEPS}"),
        (b" " * (TEXT_LIMIT + 1), "more than"),
        (b"[" * 100_000, "recursion|depth"),
    ],
)
def test_what_is_no_script_is_refused_with_its_place(text: bytes, says: str) -> None:
    with pytest.raises(FaultInvalid, match=says):
        read_script(text, toml=False)


def test_bad_toml_is_refused() -> None:
    for text in (b"steps = [", b"\xff\xfe", b"steps = 1"):
        with pytest.raises(FaultInvalid):
            read_script(text, toml=True)


def test_a_file_is_read_by_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "outage.toml").write_bytes(TOML)
    assert load_script(tmp_path / "outage.toml") == READ
    (tmp_path / "outage.json").write_bytes(TOML)
    for name, says in (
        ("outage.json", "outage.json"),
        ("absent.toml", "absent.toml"),
        ("outage.yaml", "toml or .json"),
    ):
        with pytest.raises(FaultInvalid, match=says):
            load_script(tmp_path / name)


def test_the_runbook_s_script_is_one_and_its_faults_exist() -> None:
    page = RUNBOOK.read_text()
    example = re.search(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert example is not None
    assert len(read_script(example[1].encode(), toml=True).steps) >= 3
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    combining = {"none", "flapping", "some", "layers"}
    assert sorted(named) == sorted({name for name, _, _ in described()} - combining)


def test_steps_come_at_their_time_and_a_late_one_delays_nobody() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        taken: list[tuple[float, Step]] = []
        await asyncio.sleep(5.0)
        playing = asyncio.create_task(play(READ, lambda step: taken.append((loop.time() - 1_005.0, step)), loop.time))
        await playing
        assert taken == [(step.at, step) for step in READ.steps]

    run(main())


async def test_a_script_over_http_runs_until_somebody_switches_by_hand() -> None:
    told: list[Step] = []
    reached = asyncio.Event()

    def observe(step: Step) -> None:
        told.append(step)
        if len(told) == 2:
            reached.set()

    async with FaultProxy("http://127.0.0.1:1/", observe=observe) as proxy, aiohttp.ClientSession() as operator:
        where = proxy.url + "_script"
        async with operator.get(where) as answer:
            assert await answer.json() == {"steps": [], "taken": 0}
        script = steps(CALM, {"at": 0.001, "fault": "head_freeze", "note": "now"}, {"at": 3_600, "fault": "black_hole"})
        async with operator.post(where, data=script) as answer:
            assert answer.status == 200
        await reached.wait()
        assert (proxy.fault, told[1]) == (HeadFreeze(), Step(at=0.001, fault=HeadFreeze(), note="now"))
        async with operator.get(where) as answer:
            assert (await answer.json())["taken"] == 2
        async with operator.post(where, data=b"{}") as answer:
            assert (answer.status, (await answer.json())["error"]) == (
                400,
                "a script holds a list of steps and nothing else",
            )
        assert proxy.fault == HeadFreeze(), "a bad script changes nothing"
        async with operator.post(where, data=TOML, headers={"Content-Type": "application/toml"}) as answer:
            assert [step["fault"] for step in (await answer.json())["steps"]] == ["none", "http_429", "flapping"]
        async with operator.post(proxy.url + "_fault", data=b'{"fault": "html"}') as answer:
            assert answer.status == 200
        async with operator.get(where) as answer:
            assert await answer.json() == {"steps": [], "taken": 0}


async def test_a_new_script_takes_the_old_one_s_place() -> None:
    taken: asyncio.Queue[Step] = asyncio.Queue()
    async with FaultProxy("http://127.0.0.1:1/", observe=taken.put_nowait) as proxy:
        old, new = (Script((Step(at=0.0, fault=fault),)) for fault in (BlackHole(), HeadFreeze()))
        proxy.run(old)
        proxy.run(new)
        assert await taken.get() == new.steps[0]
        assert (taken.empty(), proxy.fault) == (True, HeadFreeze())


def test_the_program_lists_every_fault_and_names_what_is_wrong(tmp_path: Path) -> None:
    listed = CliRunner().invoke(program, ["--list"])
    assert listed.exit_code == 0
    names = [json.loads(line)["fault"] for line in listed.output.splitlines() if line.startswith("{")]
    assert names == [name for name, _, _ in described()]
    assert CliRunner().invoke(program, []).exit_code == 2
    assert CliRunner().invoke(program, ["--upstream", "ftp://h"]).exit_code == 2
    (tmp_path / "bad.toml").write_bytes(b"steps = []")
    bad = CliRunner().invoke(program, ["--upstream", "http://127.0.0.1:1", "--script", str(tmp_path / "bad.toml")])
    assert bad.exit_code == 1
    assert "bad.toml: a script has between 1 and" in bad.output
