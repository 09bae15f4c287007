"""A real EVM node on this machine: anvil, started for one rehearsal and stopped after it.

The binary comes from the npm package `@foundry-rs/anvil` (package-lock.json pins it by hash). anvil marks
`latest − 2 × slots_in_an_epoch` as finalized, so with one slot an epoch a transaction is final two blocks later.
What anvil does that no real chain does: it replaces a pooled transaction for any higher fee, it drops pooled
transactions when the base fee rises above them, and it lets itself be reorganised below its own finalized mark.
"""

from __future__ import annotations

import asyncio
import itertools
import platform
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import TracebackType

import aiohttp
import msgspec
from eth_abi.abi import encode as abi_encode
from eth_hash.auto import keccak

from chains.errors import Permanent, Verdict, cap
from chains.evm.codec import checksummed, raw_address

PROJECT = Path(__file__).resolve().parents[2]
CHAIN_ID = 31_337
ETHER = 10**18

STARTUP = 20.0
"""Seconds until anvil must listen: it takes a tenth of one, on a busy machine a few."""

SHUTDOWN = 5.0
"""Seconds from SIGTERM to SIGKILL."""

REPLY = 60.0
"""Seconds for one answer: mining a full block takes a second or two."""

_LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:([0-9]+)")
_BYTECODE = msgspec.json.Decoder(dict[str, str])


class DevnetMissing(Permanent):
    """A tool that the local chains need is not installed. The message says how to get it."""

    def __init__(self, tool: str) -> None:
        super().__init__("devnet_missing", f"{tool} is not installed: make setup")
        self.tool = tool


class _Error(msgspec.Struct):
    code: int
    message: str = ""


class _Reply(msgspec.Struct):
    result: object = None
    error: _Error | None = None


def find_anvil(project: Path = PROJECT) -> Path:
    """The anvil binary: the platform's own under node_modules, else whatever PATH has. Raises `DevnetMissing`.

    npm also makes a wrapper in `.bin`; it is a node process that has anvil as a child and leaves it behind when it is
    killed, so the binary itself is preferred.
    """
    machine = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    modules = project / "node_modules"
    for candidate in (
        modules / "@foundry-rs" / f"anvil-{sys.platform}-{machine}" / "bin" / "anvil",
        modules / ".bin" / "anvil",
    ):
        if candidate.exists():
            return candidate
    found = shutil.which("anvil")
    if found is None:
        raise DevnetMissing("anvil")
    return Path(found)


def bytecode(contract: str) -> bytes:
    """Creation code of a contract of `contracts/devnet.sol`, without constructor arguments."""
    stored = _BYTECODE.decode(resources.files("chains.devnet").joinpath("contracts/devnet.json").read_bytes())
    return bytes.fromhex(stored[contract][2:])


def call_data(signature: str, *arguments: object) -> bytes:
    """The data of a contract call, e.g. `call_data("mint(address,uint256)", to, 5)`."""
    types = signature[signature.index("(") + 1 : -1]
    return keccak(signature.encode("ascii"))[:4] + abi_encode(types.split(",") if types else [], list(arguments))


class Anvil:
    """One anvil process as an async context manager, with the hands of a faucet.

    `block_time` seconds between blocks, or None to mine only when `mine` is called. `faucet` is an unlocked account
    with all the ether of the world. Failures of the node's own are `Verdict` (`anvil`).
    """

    def __init__(
        self, *, chain_id: int = CHAIN_ID, block_time: int | None = None, slots_in_an_epoch: int = 1, port: int = 0
    ) -> None:
        self.chain_id = chain_id
        self.slots_in_an_epoch = slots_in_an_epoch
        self.port = port
        self.faucet = ""
        self._block_time = block_time
        self._ids = itertools.count(1)
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Where it listens, once started."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Anvil:
        mining = ["--no-mining"] if self._block_time is None else ["--block-time", str(self._block_time)]
        process = await asyncio.create_subprocess_exec(
            str(find_anvil()),
            *("--host", "127.0.0.1", "--port", str(self.port), "--chain-id", str(self.chain_id)),
            *("--slots-in-an-epoch", str(self.slots_in_an_epoch), "--accounts", "1", "--order", "fifo", *mining),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._process = process
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REPLY))
        try:
            async with asyncio.timeout(STARTUP):
                self.port = await self._listening(process)
            self._drain = asyncio.create_task(self._discard(process))
            self.faucet = _checksummed(*msgspec.convert(await self.rpc("eth_accounts"), list[str]))
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def rpc(self, method: str, *params: object) -> object:
        """Any JSON-RPC call, plainly. Raises `Verdict` (`anvil`) with the node's own error."""
        if self._session is None:
            raise AssertionError("anvil is not running")
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)})
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self.url, data=body, headers=headers) as response:
            reply = msgspec.json.decode(await response.read(), type=_Reply)
        if reply.error is not None:
            raise Verdict("anvil", f"{method}: {cap(reply.error.message)}", rpc_code=reply.error.code)
        return reply.result

    async def mine(self, blocks: int = 1) -> None:
        """Mine so many blocks; the first takes what is pooled."""
        await self.rpc("anvil_mine", hex(blocks))

    async def finalize(self) -> None:
        """Mine what is pooled and as many blocks on top as make it final."""
        await self.mine(1 + 2 * self.slots_in_an_epoch)

    async def height(self) -> int:
        """The newest block's number."""
        return int(str(await self.rpc("eth_blockNumber")), 16)

    async def reorganise(self, depth: int, reinclude: Sequence[tuple[str, int]] = ()) -> None:
        """Replace the newest `depth` blocks by others. Their transactions vanish, except those given again as
        (raw transaction in hex, offset into the new blocks)."""
        await self.rpc("anvil_reorg", depth, [list(each) for each in reinclude])

    async def set_balance(self, address: str, wei: int) -> None:
        """Make it so, without a transaction."""
        await self.rpc("anvil_setBalance", address, hex(wei))

    async def send(self, to: str | None, value: int = 0, data: bytes = b"", **fields: str) -> str:
        """Pool a transaction of the faucet and return its hash. It is mined by `mine`, and may fail there."""
        transaction: dict[str, str] = {"from": self.faucet, "value": hex(value), "data": "0x" + data.hex(), **fields}
        if to is not None:
            transaction["to"] = to
        return str(await self.rpc("eth_sendTransaction", transaction))

    async def call(self, contract: str, signature: str, *arguments: object, value: int = 0) -> str:
        """Pool a contract call of the faucet and return the transaction's hash. Gas is given, not estimated, so that a
        call that will fail can be sent too."""
        return await self.send(contract, value, call_data(signature, *arguments), gas=hex(1_000_000))

    async def deploy(self, contract: str, types: Sequence[str] = (), arguments: Sequence[object] = ()) -> str:
        """Deploy a contract of `contracts/devnet.sol`, mine it, and return its checksummed address."""
        code = bytecode(contract) + abi_encode(list(types), list(arguments))
        tx = await self.send(None, 0, code, gas=hex(5_000_000))
        await self.mine()
        receipt = await self.receipt(tx)
        if receipt is None or receipt["status"] != "0x1":
            raise Permanent("anvil", f"{contract} could not be deployed")
        return _checksummed(receipt["contractAddress"])

    async def deploy_token(self, symbol: str, decimals: int) -> str:
        """An ordinary ERC-20 that everybody may mint."""
        return await self.deploy("PlainToken", ("string", "string", "uint8"), (symbol, symbol, decimals))

    async def mint(self, token: str, to: str, amount: int) -> str:
        """Pool a mint of a token of ours."""
        return await self.call(token, "mint(address,uint256)", to, amount)

    async def transfer(self, token: str, to: str, amount: int) -> str:
        """Pool a token transfer of the faucet's, which must hold enough (see `mint`)."""
        return await self.call(token, "transfer(address,uint256)", to, amount)

    async def receipt(self, tx: str) -> Mapping[str, object] | None:
        """The receipt as the node writes it, None while the transaction is pooled or gone."""
        found = await self.rpc("eth_getTransactionReceipt", tx)
        return found if isinstance(found, dict) else None

    async def _listening(self, process: asyncio.subprocess.Process) -> int:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            found = _LISTENING.search(line)
            if found is not None:
                return int(found[1])
        raise Permanent("anvil", f"anvil ended with {await process.wait()} before it listened")

    async def _discard(self, process: asyncio.subprocess.Process) -> None:
        """Keep reading what anvil logs: a full pipe would stop it."""
        assert process.stdout is not None
        while await process.stdout.read(65_536):
            pass

    async def _stop(self) -> None:
        if self._session is not None:
            await self._session.close()
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(SHUTDOWN):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._drain is not None:
            await self._drain
        self._process = self._drain = self._session = None


def _checksummed(address: object) -> str:
    return checksummed(raw_address(str(address)))
