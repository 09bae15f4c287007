"""`custodyd init` over two real local chains, and every journal and key that `run` must not start on."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from chains.errors import Integrity, Permanent
from custody.configuration import ConfigurationError
from custody.daemon.founding import DAEMON_KEYS, FoundingError, found
from custody.daemon.node import open_node
from custody.envelope.ed25519 import SigningKey
from custody.envelope.keyfile import create_key_file, read_key_file
from custody.execution import Replica
from custody.journal.errors import JournalCode, JournalError
from custody.journal.journal import Journal
from custody.settings import load
from tests.peers.daemonhome import a_home


async def test_init_makes_keys_and_block_0_at_the_chains_finalized_blocks() -> None:
    async with a_home() as home:
        with pytest.raises(FoundingError, match="custody-signer init"):
            await found(load(home.config), home.people)
        assert not (home.folder / "data").exists(), "nothing is written before all is known"
        home.identify_signer()
        founded = await found(load(home.config), home.people)
        assert {name for name, _ in founded.starts} == {"ethereum", "solana"}
        assert all(position > 0 for _, position in founded.starts)
        keys = sorted(path.stem for path in (home.folder / "data" / "keys").iterdir())
        assert keys == sorted(DAEMON_KEYS)
        assert sorted(path.stem for path in home.people.iterdir()) == [
            "admin-1",
            "admin-2",
            "engine",
            "operator",
            "payouts",
        ]
        for path in (*home.people.iterdir(), *(home.folder / "data" / "keys").iterdir()):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (home.folder / "data" / "ledger").read_text().strip() == founded.ledger
        # The node opens on it, and stands where the genesis says.
        node = open_node(load(home.config))
        state = node.views.books.state
        assert state.ledger == founded.ledger
        assert tuple((name, state.cursors.need(name).position) for name, _ in founded.starts) == founded.starts
        assert state.keys.need("signer").roles == ("signer",)
        assert not node.facts().ready
        assert "the signer" in node.facts().waiting_for
        await node.close()
        # Once.
        with pytest.raises(FoundingError, match="founded once"):
            await found(load(home.config), home.people)


async def test_init_refuses_another_chain_and_a_contract_that_no_scan_would_find() -> None:
    async with a_home() as home:
        home.identify_signer()
        home.write(token=home.token.lower())
        with pytest.raises(Permanent, match="checksum"):
            await found(load(home.config), home.people)
        home.write()
        solana = home.folder / "solana.toml"
        solana.write_text(solana.read_text().replace(home.solana.genesis_hash, "1" * 32))
        with pytest.raises(Integrity, match="wrong_chain"):
            await found(load(home.config), home.people)
        assert not (home.folder / "data").exists()


async def test_a_key_that_is_there_is_kept() -> None:
    async with a_home() as home:
        home.identify_signer()
        home.people.mkdir(mode=0o700)
        mine = SigningKey.generate("operator")
        create_key_file(home.people / "operator.json", mine)
        await found(load(home.config), home.people)
        assert read_key_file(home.people / "operator.json").public == mine.public
        node = open_node(load(home.config))
        assert node.views.books.state.keys.need("operator").public == mine.public.hex()
        await node.close()


async def test_what_run_must_not_start_on() -> None:
    async with a_home() as home:
        home.identify_signer()
        await found(load(home.config), home.people)
        data = home.folder / "data"
        # A key of the daemon's that the ledger does not know.
        kept = shutil.copytree(data, home.folder / "kept")
        (data / "keys" / "relay.json").unlink()
        create_key_file(data / "keys" / "relay.json", SigningKey.generate("relay"))
        with pytest.raises(ConfigurationError, match="does not know this key relay as its relay"):
            open_node(load(home.config))
        (data / "keys" / "relay.json").unlink()
        (data / "keys" / "watcher.json").unlink()
        with pytest.raises(ConfigurationError) as caught:
            open_node(load(home.config))
        assert len(caught.value.problems) == 2, "both missing keys at once"
        restore(data, kept)
        # The journal of another genesis, under the very same keys.
        (data / "journal.db").unlink()
        (data / "journal.db.tip").unlink()
        await found(load(home.config), home.people)
        (data / "ledger").write_text((kept / "ledger").read_text())
        with pytest.raises(JournalError) as refused:
            open_node(load(home.config))
        assert refused.value.code is JournalCode.OTHER_LEDGER
        restore(data, kept)
        # A journal that is gone, though its blocks were acknowledged.
        (data / "journal.db").unlink()
        with pytest.raises(JournalError) as refused:
            open_node(load(home.config))
        assert refused.value.code is JournalCode.BEHIND_TIP
        restore(data, kept)
        # Another chain than the ledger's.
        solana = home.folder / "solana.toml"
        text = solana.read_text()
        solana.write_text(text.replace(home.solana.genesis_hash, "1" * 32))
        with pytest.raises(ConfigurationError, match="the file something else"):
            open_node(load(home.config))
        solana.write_text(text)
        # Another process has it.
        other = Journal.open(data / "journal.db")
        with pytest.raises(JournalError) as refused:
            open_node(load(home.config))
        assert refused.value.code is JournalCode.LOCKED
        other.close()
        node = open_node(load(home.config))
        assert isinstance(node.sequencer.replica, Replica)
        await node.close()


def restore(data: Path, kept: Path) -> None:
    shutil.rmtree(data)
    shutil.copytree(kept, data)
