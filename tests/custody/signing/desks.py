"""A signer over a test ledger's keys, in a directory of its own, with the ledger's time as its clock."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chains.ports import Tier
from custody.signing.keystore import Keystore
from custody.signing.log import SignerLog
from custody.signing.signer import LOG, Signer
from tests.custody.ledgers import Ledger


def make_signer(directory: Path, ledger: Ledger, *, keystore: Keystore | None = None, pin: str | None = None) -> Signer:
    """Open the signer in `directory`; at the first time with the empty log that `init` makes."""
    if not (directory / LOG).exists():
        SignerLog.create(directory / LOG)
    return Signer(directory, keystore or ledger.keystore, key="signer", clock=lambda: ledger.now, ledger=pin)


def prepare(ledger: Ledger, name: str = "w-eth") -> str:
    """An attempt that pays a queued withdrawal from the hot wallet."""
    chain = ledger.state.withdrawals.need(name).chain
    sender = ledger.address(chain, Tier.HOT)
    return ledger.prepare(chain, sender, (ledger.payment(name, sender),))


@contextmanager
def full_disk(bytes_: int = 0) -> Iterator[None]:
    """No file of this process may grow past a size: a write meets EFBIG, as it meets ENOSPC on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
