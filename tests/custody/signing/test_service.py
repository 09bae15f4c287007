"""Signer, service and client over a real unix socket: one conversation, many ways to misbehave."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from custody.anchoring import Reanchored, state_reanchored
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.signing import protocol
from custody.signing.client import Deadlines, SignerClient, SignerRefused, SignerUnreachable
from custody.signing.protocol import MAX_FRAME, Hello, Refused, Sign, Standing, Status
from custody.signing.refusals import RefusalCode
from custody.signing.service import Limits, Service, open_socket
from tests.custody.ledgers import EVM, Ledger, funded
from tests.custody.signing.desks import full_disk, make_signer, prepare

ME = frozenset((os.geteuid(),))


@asynccontextmanager
async def serving(
    directory: Path, ledger: Ledger, *, uids: frozenset[int] = ME, limits: Limits | None = None
) -> AsyncIterator[SignerClient]:
    signer = make_signer(directory, ledger)
    service = Service(signer, uids, limits)
    await service.start(open_socket(directory / "s"))
    client = SignerClient(directory / "s")
    try:
        yield client
    finally:
        await client.close()
        await service.stop()
        signer.close()


async def raw(directory: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_unix_connection(directory / "s")


async def working(service: Service) -> None:
    """Come back when a request is being worked on: some turns of the loop after it was sent."""
    for _ in range(10_000):
        if service.working:
            return
        await asyncio.sleep(0)
    raise AssertionError("the request never arrived")


async def answer(reader: asyncio.StreamReader) -> object:
    body = await protocol.read_frame(reader, first=30, rest=30)
    return None if body is None else protocol.decode_answer(body)


async def test_the_whole_conversation(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    async with serving(tmp_path, ledger) as client:
        hello = await client.hello()
        assert (hello.height, hello.hash, hello.ledger, hello.signed, hello.brake) == (-1, "", "", 0, None)
        assert hello.public == ledger.keystore.identity.hex()
        tip = await client.extend(ledger.blobs)
        assert ledger.replica.link is not None
        assert (tip.height, tip.hash) == (ledger.replica.link.height, ledger.replica.link.hash)
        envelope = await client.sign(attempt)
        assert await client.sign(attempt) == envelope
        assert ledger.submit(envelope).code == "ok"
        assert ledger.submit(await client.attest(EVM, "hot", "", 1)).code == "ok"
        page = await client.log()
        assert [entry.attempt for entry in page.entries] == [attempt]
        assert await client.blocks(0) == tuple(ledger.blobs[: tip.height + 1])
        status = await client.status()
        assert (status.height, status.signed, status.now) == (tip.height, 1, ledger.now)


async def test_a_refusal_carries_code_and_tip(tmp_path: Path) -> None:
    ledger = funded()
    async with serving(tmp_path, ledger) as client:
        tip = await client.extend(ledger.blobs)
        with pytest.raises(SignerRefused) as caught:
            await client.sign("ab" * 32)
        assert (caught.value.code, caught.value.height, caught.value.hash) == (
            RefusalCode.UNKNOWN_ATTEMPT,
            tip.height,
            tip.hash,
        )
        with pytest.raises(SignerRefused, match="not_requested"):
            await client.attest(EVM, "deposit", "nobody", 3)
        with pytest.raises(SignerRefused, match="divergence"):
            await client.extend(Ledger(name="other").blobs)
        assert (await client.status()).height == tip.height


async def test_many_blocks_go_in_many_requests(tmp_path: Path) -> None:
    ledger = Ledger()
    for number in range(protocol.MAX_BLOCKS + 3):
        ledger.say("engine", tx.AddressRequested, account=f"a-{number}", chain=EVM)
    async with serving(tmp_path, ledger) as client:
        assert (await client.extend(ledger.blobs)).height == len(ledger.blobs) - 1
        parts = [await client.blocks(0)]
        parts.append(await client.blocks(len(parts[0])))
        assert [*parts[0], *parts[1]] == ledger.blobs


async def test_the_brake_over_the_socket(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    async with serving(tmp_path, ledger) as client:
        await client.extend(ledger.blobs)
        braked = (await client.brake(True, reason="why" * 1000, actor="uid:0")).brake
        assert braked is not None
        assert braked.since == ledger.now
        with pytest.raises(SignerRefused, match="brake"):
            await client.sign(attempt)
        assert (await client.brake(False, reason="well", actor="uid:0")).brake is None
        await client.sign(attempt)


async def test_admins_lead_it_elsewhere_over_the_socket(tmp_path: Path) -> None:
    ledger, restored = funded(), funded()
    ledger.tick()
    async with serving(tmp_path, ledger) as client:
        tip = await client.extend(ledger.blobs)
        said = Reanchored(
            ledger=ledger.state.ledger,
            signer="signer",
            from_height=tip.height,
            from_hash=tip.hash,
            to_height=0,
            to_hash=ledger.state.ledger,
        )
        statements = [state_reanchored(ledger.keys[admin], said) for admin in ("admin-1", "admin-2")]
        with pytest.raises(SignerRefused, match="not_authorised"):
            await client.reanchor(statements[:1])
        standing = await client.reanchor(statements)
        assert (standing.height, standing.anchoring) == (-1, True)
        with pytest.raises(SignerRefused, match="not_anchored"):
            await client.attest(EVM, "hot", "", 0)
        await client.extend(restored.blobs)
        assert not (await client.status()).anchoring


async def test_a_failed_write_is_said_and_stays(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    async with serving(tmp_path, ledger) as client:
        await client.extend(ledger.blobs)
        with full_disk():
            for _ in range(2):
                with pytest.raises(SignerRefused, match="storage"):
                    await client.sign(attempt)
            with pytest.raises(SignerRefused, match="storage"):
                await client.brake(True, reason="full", actor="uid:0")
        assert (await client.status()).brake is not None
        with pytest.raises(SignerRefused, match="storage"):
            await client.sign(attempt)
        assert (await client.status()).failure


async def test_a_restarted_signer_is_found_again(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    client = SignerClient(tmp_path / "s")
    with pytest.raises(SignerUnreachable):
        await client.hello()
    async with serving(tmp_path, ledger):
        await client.extend(ledger.blobs)
        envelope = await client.sign(attempt)
    with pytest.raises(SignerUnreachable):
        await client.sign(attempt)
    async with serving(tmp_path, ledger):
        assert await client.sign(attempt) == envelope
    async with serving(tmp_path, ledger):
        assert await client.sign(attempt) == envelope
        await client.close()


async def test_a_stranger_is_not_heard(tmp_path: Path) -> None:
    async with serving(tmp_path, Ledger(), uids=frozenset((os.geteuid() + 1,))) as client:
        with pytest.raises(SignerUnreachable):
            await client.hello()


async def test_only_so_many_at_a_time(tmp_path: Path) -> None:
    async with serving(tmp_path, Ledger(), limits=Limits(connections=1)) as client:
        await client.hello()
        other = SignerClient(tmp_path / "s")
        with pytest.raises(SignerRefused, match="busy"):
            await other.status()
        await client.close()
        for _ in range(1000):  # the place is free once the signer has seen the other go
            async with asyncio.timeout(30):
                with suppress(SignerRefused):
                    await other.status()
                    break
        await other.close()


async def test_another_version_is_refused_by_name(tmp_path: Path) -> None:
    async with serving(tmp_path, Ledger()):
        reader, writer = await raw(tmp_path)
        writer.write(protocol.frame(Hello(version=protocol.VERSION + 1)))
        said = await answer(reader)
        assert isinstance(said, Refused)
        assert said.code is RefusalCode.VERSION_UNSUPPORTED
        writer.write(protocol.frame(Status()))
        assert isinstance(await answer(reader), Standing)
        writer.close()


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", b"{}", b"\x81\xa3ask\xa4hope", b"\x82\xa3ask\xa5hello\xa7version\xa11", b"\x81\xa3ask\xa4sign"],
    ids=["empty", "no msgpack", "json", "unknown", "wrong type", "field missing"],
)
async def test_what_is_no_request_is_refused_and_ends_the_connection(tmp_path: Path, body: bytes) -> None:
    async with serving(tmp_path, Ledger()):
        reader, writer = await raw(tmp_path)
        writer.write(struct.pack(">I", len(body)) + body)
        said = await answer(reader)
        assert isinstance(said, Refused)
        assert said.code is RefusalCode.MALFORMED
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    "start", [struct.pack(">I", MAX_FRAME + 1), b"\0\0", struct.pack(">I", 10) + b"abc"], ids=["length", "head", "body"]
)
async def test_a_frame_that_is_too_long_or_cut_off_ends_the_connection(tmp_path: Path, start: bytes) -> None:
    async with serving(tmp_path, Ledger()) as client:
        reader, writer = await raw(tmp_path)
        writer.write(start)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await client.hello()


@pytest.mark.parametrize("limits", [Limits(idle=0.0), Limits(patience=0.0)], ids=["idle", "slow"])
async def test_who_keeps_it_waiting_is_dropped(tmp_path: Path, limits: Limits) -> None:
    async with serving(tmp_path, Ledger(), limits=limits):
        reader, writer = await raw(tmp_path)
        writer.write(b"" if limits.idle == 0 else b"\0\0")
        assert await reader.read() == b""
        writer.close()


async def test_a_signer_that_does_not_answer(tmp_path: Path) -> None:
    listener = open_socket(tmp_path / "s")
    listener.listen()
    client = SignerClient(tmp_path / "s", Deadlines(answer=0.0))
    with pytest.raises(SignerUnreachable, match="in time"):
        await client.hello()
    await client.close()
    listener.close()


@pytest.mark.parametrize("said", [b"\0\0\0\1\xc1", protocol.frame(protocol.Extended(height=1, hash=""))])
async def test_a_signer_that_answers_something_else(tmp_path: Path, said: bytes) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await protocol.read_frame(reader, first=30, rest=30)
        writer.write(said)
        writer.close()

    server = await asyncio.start_unix_server(other, sock=open_socket(tmp_path / "s"))
    client = SignerClient(tmp_path / "s")
    with pytest.raises(SignerUnreachable):
        await client.hello()
    await client.close()
    server.close()
    await server.wait_closed()


async def test_what_is_being_worked_on_is_finished_and_answered(tmp_path: Path) -> None:
    """Stop comes right behind the request; the answer is there, and it is durable."""
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    service = Service(signer, ME)
    await service.start(open_socket(tmp_path / "s"))
    reader, writer = await raw(tmp_path)
    idle_reader, idle_writer = await raw(tmp_path)
    idle_writer.write(protocol.frame(Status()))
    assert isinstance(await answer(idle_reader), Standing)
    writer.write(protocol.frame(Sign(attempt=attempt)))
    await working(service)
    await service.stop()
    said = await answer(reader)
    assert isinstance(said, protocol.Spoken)
    assert await idle_reader.read() == b""
    writer.close()
    idle_writer.close()
    signer.close()
    signed = encoding.decode(said.envelope.payload)
    assert isinstance(signed, tx.AttemptSigned)
    assert [entry.raw for entry in make_signer(tmp_path, ledger).page(0, 9).entries] == [signed.raw]


def test_the_socket_is_made_closed_and_in_the_place_of_a_dead_one(tmp_path: Path) -> None:
    place = tmp_path / "s"
    open_socket(place).close()
    second = open_socket(place, os.getegid())
    assert place.stat().st_mode & 0o777 == 0o660
    assert second.family is socket.AF_UNIX
    second.close()
    place.unlink()
    place.write_text("precious")
    with pytest.raises(FileExistsError):
        open_socket(place)
    assert place.read_text() == "precious"
