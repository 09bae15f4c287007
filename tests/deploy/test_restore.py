"""What the divergence runbook tells people to do with files works: the signer's journal is a journal for the daemon."""

from __future__ import annotations

import shutil
from pathlib import Path

from custody.audit.verify import verify
from custody.journal.journal import Journal
from custody.signing.signer import JOURNAL
from tests.custody.ledgers import funded
from tests.custody.signing.desks import make_signer, prepare

PAGE = Path(__file__).parents[2] / "deploy/runbooks/divergence.md"


def test_the_signers_copy_takes_the_place_of_a_journal_that_was_put_back(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    signer.sign(attempt)
    tip = signer.standing()
    signer.close()

    (folder,) = {path.parent for path in tmp_path.rglob("journal.db")}
    assert folder.name == JOURNAL
    assert f"/state/{JOURNAL}/journal.db" in PAGE.read_text()
    place = tmp_path / "daemon"
    place.mkdir()
    for path in folder.glob("journal.db*"):
        if path.suffix != ".db-shm":
            shutil.copy(path, place)

    assert verify(place / "journal.db").tip_known
    journal = Journal.open(place / "journal.db")
    try:
        links = [link for _, link in journal.replay()]
    finally:
        journal.close()
    assert (links[-1].height, links[-1].hash) == (tip.height, tip.hash)
