"""One key, one place that numbers its words: numbers are neither given twice nor lost for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from custody.execution import Executed, Replica
from custody.journal.block import decode
from custody.journal.journal import Journal
from custody.ledger import transactions as tx
from custody.ledger.rejections import Rejection
from custody.ledger.state import WINDOW
from custody.sequencer import Receipt, Sequencer
from custody.voice import Voice
from tests.custody.ledgers import Ledger
from tests.virtualtime import run


@asynccontextmanager
async def a_voice(folder: Path) -> AsyncIterator[tuple[Voice, Sequencer]]:
    """An operator's, over a real journal."""
    ledger = Ledger()
    replica = Replica()
    journal = Journal.open(folder / "journal.db", create=True)
    block = decode(ledger.blobs[0])
    assert isinstance(replica.execute(block), Executed)
    journal.append((block,))
    sequencer = Sequencer(journal, replica, ledger.keys["sequencer"], clock=lambda: ledger.now)
    task = asyncio.create_task(sequencer.run())
    try:
        yield Voice(ledger.keys["relay"], sequencer), sequencer
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        journal.close()


def hold(name: str, ledger: str, seq: int) -> tx.HoldSet:
    return tx.HoldSet(
        ledger=ledger,
        seq=seq,
        hold=name,
        chain="",
        asset="",
        account="",
        wallet="",
        provider="",
        direction="all",
        origin="operator",
        cause="pause",
        reason="a test",
        actor="uid:1",
        until=0,
    )


def test_words_said_at_once_get_numbers_of_their_own(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_voice(tmp_path) as (voice, sequencer):
            answers = await asyncio.gather(*(voice.say(partial(hold, f"h-{number}")) for number in range(200)))
            assert all(isinstance(answer, Receipt) and answer.ok for answer in answers)
            assert sequencer.next_sequence("relay") == 200

    run(story())


def test_what_is_refused_without_a_trace_costs_no_number(tmp_path: Path) -> None:
    """More refusals than the ledger's window is wide, and the voice can still speak."""

    async def story() -> None:
        async with a_voice(tmp_path) as (voice, sequencer):
            for _ in range(WINDOW + 10):
                assert await voice.say(partial(hold, "not an id")) is Rejection.IDENTIFIER_MALFORMED
            answer = await voice.say(partial(hold, "h-1"))
            assert isinstance(answer, Receipt)
            assert answer.ok
            assert sequencer.next_sequence("relay") == 1

    run(story())


def test_a_number_whose_answer_was_not_waited_for_is_not_given_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_voice(tmp_path) as (voice, sequencer):
            hasty = asyncio.create_task(voice.say(partial(hold, "h-1")))
            await asyncio.sleep(0)
            hasty.cancel()
            answer = await voice.say(partial(hold, "h-2"))
            assert isinstance(answer, Receipt)
            assert answer.ok
            assert {str(key[0]) for key, _ in sequencer.replica.state.holds.rows()} == {"h-1", "h-2"}

    run(story())


def test_a_reference_is_stable_and_says_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_voice(tmp_path) as (voice, _):
            first = voice.reference("w-1")
            assert first == voice.reference("w-1")
            assert first != voice.reference("w-2")
            assert len(first) == 32
            assert "w-1" not in first

    run(story())
