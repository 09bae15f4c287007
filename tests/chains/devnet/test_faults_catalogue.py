"""Faults by name: all of them can be said, nothing else is taken for one, and the combining ones combine."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.devnet.faults.catalogue import (
    AnyFault,
    FaultInvalid,
    Flapping,
    Layers,
    Some,
    convert_fault,
    described,
    read_fault,
)
from chains.devnet.faults.exchange import Cut, Reply, Unanswered
from chains.devnet.faults.lies import ForgedSkips, HeadFreeze, StaleNode, WrongChain
from chains.devnet.faults.line import BlackHole, Html, IdMismatch, SlowDrip
from chains.devnet.faults.overload import Healthy, SilentQueue, TooManyRequests
from tests.chains.devnet.faultrig import Echo, Rig, batch_of, body_of
from tests.virtualtime import run

KINDS = get_args(AnyFault)


def test_every_fault_has_a_name_and_says_who_was_seen_doing_it() -> None:
    names = [name for name, _, _ in described()]
    assert len(names) == len(set(names)) == len(KINDS) == 23
    silent = [kind.__name__ for kind in KINDS if "Seen: " not in (kind.__doc__ or "")]
    assert silent == ["Healthy", "Layers"]


@pytest.mark.parametrize("name", [name for name, _, _ in described()])
def test_every_fault_is_read_by_its_name_and_written_again(name: str) -> None:
    needs: dict[str, dict[str, object]] = {
        "flapping": {"down": {"fault": "html"}},
        "some": {"then": {"fault": "html"}},
        "layers": {"faults": [{"fault": "html"}]},
    }
    table = {"fault": name, **needs.get(name, {})}
    fault = read_fault(msgspec.json.encode(table))
    assert convert_fault(table) == fault
    assert read_fault(msgspec.json.encode(fault)) == fault


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"fault": "gremlins"}',
        '{"fault": "http_429", "retry_after": "soon"}',
        '{"fault": "http_429", "retry_aftr": 2}',
        '{"fault": "silent_queue", "capacity": 0}',
        '{"fault": "slow_drip", "chunk": 0}',
        '{"fault": "some", "then": {"fault": "none"}, "share": 1.5}',
        '{"fault": "layers", "faults": []}',
        '{"fault": "flapping"}',
        '{"fault": "throttled_200", "says": "klingon"}',
        '{"fault": "some", "then": ' * 4 + '{"fault": "none"}' + "}" * 4,
        '{"fault": "some", "then": ' * 20_000,
    ],
)
def test_nothing_else_is_a_fault(text: str) -> None:
    with pytest.raises(FaultInvalid):
        read_fault(text.encode())


def test_flapping_is_healthy_and_faulty_by_turns() -> None:
    async def main() -> None:
        rig = Rig(Flapping(down=Html(status=503), up=3.0, down_for=2.0), Echo())
        statuses = []
        for _ in range(11):
            answer = await rig.send(body_of("m"))
            assert isinstance(answer, Reply)
            statuses.append(answer.status)
            await asyncio.sleep(1.0)
        assert statuses == [200, 200, 200, 503, 503] * 2 + [200]

    run(main())


def test_what_a_flapping_black_hole_holds_is_cut_when_its_turn_ends() -> None:
    async def main() -> None:
        rig = Rig(Flapping(down=BlackHole(), up=3.0, down_for=2.0), Echo())
        await asyncio.sleep(4.5)
        assert await rig.send(body_of("m")) == Cut()
        assert asyncio.get_running_loop().time() == 1_005.0
        assert await rig.ask("m", 1) == [1]

    run(main())


def test_a_flapping_fault_begins_each_turn_anew() -> None:
    async def main() -> None:
        rig = Rig(Flapping(down=SilentQueue(capacity=0.5), up=1.0, down_for=10.0), Echo())
        took = []
        for moment in (1.0, 12.0):
            await asyncio.sleep(1_000.0 + moment - asyncio.get_running_loop().time())
            waiting = [asyncio.create_task(rig.ask("m", number)) for number in range(2)]
            await asyncio.gather(*waiting)
            took.append(asyncio.get_running_loop().time() - 1_000.0 - moment)
        assert took == [4.0, 4.0]

    run(main())


def test_some_is_only_for_the_methods_named() -> None:
    async def main() -> None:
        rig = Rig(Some(then=TooManyRequests(), methods=("getBlock", "getBlocks")), Echo())
        assert await rig.ask("getSlot", 1) == [1]
        for body in (body_of("getBlock"), batch_of(("getSlot", 1), ("getBlocks", 2))):
            answer = await rig.send(body)
            assert isinstance(answer, Reply)
            assert answer.status == 429

    run(main())


@given(share=st.floats(0.0, 1.0), seed=st.integers(0, 2**32))
def test_some_strikes_its_share_and_the_same_seed_strikes_the_same(share: float, seed: int) -> None:
    async def once() -> list[int]:
        rig = Rig(Some(then=Html(status=503), share=share, seed=seed), Echo())
        answers = [await rig.send(body_of("m")) for _ in range(400)]
        return [answer.status for answer in answers if isinstance(answer, Reply)]

    first = run(once())
    assert run(once()) == first
    # Six standard deviations of the fairest coin: 6 × √(400 / 4).
    assert abs(first.count(503) - 400 * share) <= 60
    assert first.count(503) == 0 or share > 0.0
    assert first.count(200) == 0 or share < 1.0


def test_layers_are_met_from_the_client_inwards() -> None:
    async def main() -> None:
        node = Echo({"getBlocks": [1, 2, 3, 4], "getGenesisHash": "ours"})
        lies = Layers(
            faults=(SlowDrip(chunk=5), IdMismatch(), ForgedSkips(one_in=2, first=1), WrongChain(genesis_hash="theirs"))
        )
        said: list[Any] = []
        for method in ("getBlocks", "getGenesisHash"):
            answer = await Rig(lies, node).send(body_of(method))
            assert isinstance(answer, Reply)
            assert answer.chunk == 5
            said.append(msgspec.json.decode(answer.body))
        assert [(one["id"], one["result"]) for one in said] == [(2, [2, 4]), (2, "theirs")]
        assert len(node.seen) == 2
        assert (
            await Rig(Layers(faults=(IdMismatch(), TooManyRequests())), node).send(body_of("m"))
            == TooManyRequests().refusal()
        )
        assert await Rig(Layers(faults=(Html(), BlackHole())), node).send(body_of("m")) == await Rig(Html(), node).send(
            b""
        )

    run(main())


@pytest.mark.parametrize("fault", [HeadFreeze(), StaleNode(behind=1)])
@pytest.mark.parametrize("method", ["eth_blockNumber", "getSlot"])
def test_a_fault_that_can_not_learn_what_it_must_know_says_so(fault: AnyFault, method: str) -> None:
    async def main() -> None:
        with pytest.raises(Unanswered):
            await Rig(fault, Echo()).ask(method)
        assert await Rig(fault, Echo()).ask("net_version", 3) == [3]

    run(main())


def test_healthy_says_what_the_node_says() -> None:
    async def main() -> None:
        node = Echo()
        body = batch_of(("a", 1), ("b", 2))
        assert await Rig(Healthy(), node).send(body) == await node.send(body)

    run(main())
