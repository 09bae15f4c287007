"""A journal that was put back: refused, and left for another only as enough admins say; nothing is paid twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from chains.ports import Tier
from custody.anchoring import Reanchored, state_reanchored
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import Envelope
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.ledger.roles import Role
from custody.signing.log import LogError
from custody.signing.refusals import RefusalCode, RefusedError
from custody.signing.signer import JOURNAL, Signer
from tests.custody.ledgers import EVM, PARAMETERS, SOL, Ledger, funded
from tests.custody.signing.desks import full_disk, make_signer, prepare

Code = RefusalCode
DEARER = PARAMETERS[EVM] | {"max_fee": "3000000000"}


def signed(envelope: Envelope) -> tx.AttemptSigned:
    said = encoding.decode(envelope.payload)
    assert isinstance(said, tx.AttemptSigned)
    return said


def refusal(signer: Signer, attempt: str) -> RefusalCode:
    with pytest.raises(RefusedError) as caught:
        signer.sign(attempt)
    return caught.value.refusal.code


def test_a_put_back_journal_is_refused_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    signer.sign(attempt)
    restored = funded()
    gas = restored.address(EVM, Tier.GAS)
    other = restored.prepare(EVM, gas, (restored.payment("w-eth", gas),), parameters=DEARER)
    before = signer.standing()
    with pytest.raises(RefusedError) as caught:
        signer.extend(restored.blobs)
    assert caught.value.refusal.code is Code.DIVERGENCE
    assert refusal(signer, other) is Code.UNKNOWN_ATTEMPT
    assert signer.standing() == before


def agreed(old: Ledger, new: Ledger, *admins: str, **changes: Any) -> list[Envelope]:
    """What admins sign to leave the one's tip for the other's."""
    here, there = old.replica.link, new.replica.link
    assert here is not None
    assert there is not None
    fields: dict[str, Any] = {
        "ledger": here.ledger,
        "signer": "signer",
        "from_height": here.height,
        "from_hash": here.hash,
        "to_height": there.height,
        "to_hash": there.hash,
        **changes,
    }
    return [state_reanchored(old.keys[admin], Reanchored(**fields)) for admin in admins]


def paid_and_put_back(directory: Path) -> tuple[Signer, Ledger, Ledger, list[str]]:
    """A signer that paid `w-eth` and `w-sol`; a journal of the same ledger without that, in which somebody tries to
    pay them again, and `w-usdc` at a nonce that is taken."""
    ledger = funded()
    signer = make_signer(directory, ledger)
    for name in ("w-eth", "w-sol"):
        attempt = prepare(ledger, name)
        signer.extend(ledger.blobs)
        signer.sign(attempt)
    restored = funded()
    restored.scan(SOL)
    gas = restored.address(EVM, Tier.GAS)
    again = [
        restored.prepare(EVM, gas, (restored.payment("w-eth", gas),), parameters=DEARER),
        prepare(restored, "w-sol"),
        prepare(restored, "w-usdc"),
    ]
    return signer, ledger, restored, again


def test_two_admins_lead_it_to_another_history_and_the_log_still_pays_once(tmp_path: Path) -> None:
    signer, ledger, restored, again = paid_and_put_back(tmp_path)
    standing = signer.reanchor(agreed(ledger, restored, "admin-1", "admin-2"))
    assert (standing.height, standing.anchoring, standing.signed) == (-1, True, 2)
    signer.extend(restored.blobs[:-1])
    assert refusal(signer, again[0]) is Code.NOT_ANCHORED
    signer.close()
    signer = make_signer(tmp_path, restored)
    assert signer.standing().anchoring
    signer.extend(restored.blobs)
    assert not signer.standing().anchoring
    assert [refusal(signer, attempt) for attempt in again] == [
        Code.PURPOSE_SIGNED,
        Code.PURPOSE_SIGNED,
        Code.NONCE_SIGNED,
    ]
    signer.close()
    signer = make_signer(tmp_path, restored)
    assert (signer.standing().height, signer.standing().anchoring) == (len(restored.blobs) - 1, False)
    assert (tmp_path / "journal.1").is_dir()


def test_what_was_signed_is_told_to_the_other_history_and_given_again(tmp_path: Path) -> None:
    """The way out: the daemon imports the log, prepares the very same messages, and gets the very same bytes."""
    signer, ledger, _, _ = paid_and_put_back(tmp_path)
    restored = funded()
    entries = signer.page(0, 9).entries
    for entry in entries:
        facts = {name: getattr(entry, name, ()) for name in tx.AttemptPrepared.__struct_fields__}
        restored.say("composer", tx.AttemptPrepared, **{k: facts[k] for k in facts if k not in ("ledger", "seq")})
    signer.reanchor(agreed(ledger, restored, "admin-1", "admin-2"))
    signer.extend(restored.blobs)
    assert [signed(signer.sign(entry.attempt).envelope).raw for entry in entries] == [entry.raw for entry in entries]
    assert [restored.submit(signer.sign(entry.attempt).envelope).code for entry in entries] == ["ok", "ok"]


UNAUTHORISED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "nobody": ((), {}),
    "one admin": (("admin-1",), {}),
    "one admin twice": (("admin-1", "admin-1"), {}),
    "an admin and an operator": (("admin-1", "operator"), {}),
    "another tip": (("admin-1", "admin-2"), {"from_hash": "ab" * 32}),
    "another height": (("admin-1", "admin-2"), {"from_height": 3}),
    "another ledger": (("admin-1", "admin-2"), {"ledger": "ab" * 32}),
    "another signer": (("admin-1", "admin-2"), {"signer": "signer-2"}),
}


@pytest.mark.parametrize(("admins", "changes"), UNAUTHORISED.values(), ids=UNAUTHORISED.keys())
def test_nobody_else_leads_it_away(tmp_path: Path, admins: tuple[str, ...], changes: dict[str, Any]) -> None:
    ledger, restored = funded(), funded()
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    before = signer.standing()
    with pytest.raises(RefusedError) as caught:
        signer.reanchor(agreed(ledger, restored, *admins, **changes))
    assert caught.value.refusal.code is Code.NOT_AUTHORISED
    assert signer.standing() == before


def test_admins_who_say_different_things_or_are_forged_or_revoked(tmp_path: Path) -> None:
    ledger, restored = funded(), funded()
    first, second = agreed(ledger, restored, "admin-1", "admin-2")
    (other,) = agreed(ledger, restored, "admin-2", to_height=1)
    forged = msgspec.structs.replace(second, signature=first.signature)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    for statements in ([first, other], [first, forged], [first, ledger.said("admin-2", tx.KeyRevoked, id="relay")]):
        with pytest.raises(RefusedError, match="not_authorised"):
            signer.reanchor(statements)


def test_a_revoked_admin_has_no_say(tmp_path: Path) -> None:
    ledger = funded()
    new = SigningKey("admin-3", b"\5" * 32).public.hex()
    for admin in ("admin-1", "admin-2"):
        ledger.say(admin, tx.KeyRegistered, id="admin-3", public=new, roles=(Role.ADMIN,))
    for admin in ("admin-1", "admin-2"):
        ledger.say(admin, tx.KeyRevoked, id="admin-2")
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    with pytest.raises(RefusedError, match="admin-2 is no admin"):
        signer.reanchor(agreed(ledger, funded(), "admin-1", "admin-2"))


def test_a_history_that_never_gets_there_is_never_signed_on_and_can_be_left(tmp_path: Path) -> None:
    ledger, restored = funded(), funded()
    attempt = prepare(restored)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    signer.reanchor(agreed(ledger, restored, "admin-1", "admin-2", to_hash="ab" * 32))
    signer.extend(restored.blobs)
    assert refusal(signer, attempt) is Code.NOT_ANCHORED
    signer.reanchor(agreed(restored, restored, "admin-1", "admin-2"))
    signer.extend(restored.blobs)
    signer.sign(attempt)


def test_a_change_cut_short_goes_on_at_the_next_start(tmp_path: Path) -> None:
    """The statement is durable, and the journal not yet out of the way."""
    ledger, restored = funded(), funded()
    attempt = prepare(restored)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    with full_disk(), pytest.raises(OSError, match="File too large"):
        signer.reanchor(agreed(ledger, restored, "admin-1", "admin-2"))
    assert refusal(signer, attempt) is Code.STORAGE
    signer = make_signer(tmp_path, ledger)
    assert signer.standing().height == len(ledger.blobs) - 1
    signer.reanchor(agreed(ledger, restored, "admin-1", "admin-2"))
    signer.close()
    for path in (tmp_path / "journal").iterdir():
        path.unlink()
    (tmp_path / "journal").rmdir()
    (tmp_path / "journal.1").rename(tmp_path / "journal")
    signer = make_signer(tmp_path, ledger)
    assert (signer.standing().height, signer.standing().anchoring) == (-1, True)
    signer.extend(restored.blobs)
    signer.sign(attempt)


def test_a_journal_that_is_gone_is_not_begun_anew(tmp_path: Path) -> None:
    signer, ledger, _, _ = paid_and_put_back(tmp_path)
    signer.close()
    (tmp_path / JOURNAL).rename(tmp_path / "elsewhere")
    with pytest.raises(LogError, match="is gone, though messages were signed"):
        make_signer(tmp_path, ledger)
