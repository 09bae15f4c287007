"""The signer's lack of network, tried out: in a process of its own, since it can't be taken back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.sources import ROOT

SILENT = (
    "from custody.signing.silence import silence\nimport asyncio, os, socket, subprocess\n{before}\nsilence()\n{act}\n"
)
REFUSED = {
    "an internet socket": "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "an internet socket of the second kind": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "a packet socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "a connection": "socket.create_connection(('127.0.0.1', 9))",
    "a name": "socket.gethostbyname('localhost')",
    "a connection of asyncio's": "asyncio.run(asyncio.open_connection('127.0.0.1', 9))",
    "a socket from before": "old.connect(('127.0.0.1', 9))",
    "a datagram from a socket from before": "olddatagram.sendto(b'x', ('127.0.0.1', 9))",
    "a program": "subprocess.run(['true'])",
    "a shell": "os.system('true')",
    "a child": "os.fork()",
}
BEFORE = "old = socket.socket()\nolddatagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"


def run(act: str) -> subprocess.CompletedProcess[str]:
    code = SILENT.format(before=BEFORE, act=act)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )


@pytest.mark.parametrize("act", REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused(act: str) -> None:
    done = run(act)
    assert done.returncode == 1
    assert "PermissionError: the signer" in done.stderr


def test_unix_sockets_work(tmp_path: Path) -> None:
    place = tmp_path / "s"
    act = f"""
async def both():
    async def serve(reader, writer):
        writer.write(await reader.read(2)); writer.close()
    server = await asyncio.start_unix_server(serve, {str(place)!r})
    reader, writer = await asyncio.open_unix_connection({str(place)!r})
    writer.write(b'ok'); print((await reader.read()).decode())
    server.close()
asyncio.run(both())
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
    try: way.sendto(b'READY=1', '\\0nobody')
    except ConnectionRefusedError: print('sent')
"""
    done = run(act)
    assert (done.stdout.split(), done.stderr) == (["ok", "sent"], "")
