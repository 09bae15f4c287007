"""The one path on which bytes get signed: what is durable when, what a restart gives again, what a put-back journal
can't obtain. Real journal, real log, real keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from eth_account import Account

from chains.ports import Tier
from custody.envelope.envelopes import Envelope
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.ledger.roles import Role
from custody.ledger.state import WINDOW
from custody.signing.keystore import Keystore
from custody.signing.log import Issued, LogError, SignerLog
from custody.signing.permit import CLOCK_MARGIN_MS
from custody.signing.refusals import RefusalCode, RefusedError
from custody.signing.signer import BRAKE, LOG, LOG_BEHIND, Signer
from tests.custody.ledgers import EVM, OTHER_SEEDS, PARAMETERS, SEEDS, SOL, Ledger, funded
from tests.custody.signing.desks import full_disk, make_signer, prepare

Code = RefusalCode
DEARER = PARAMETERS[EVM] | {"max_fee": "3000000000"}


def signed(envelope: Envelope) -> tx.AttemptSigned:
    said = encoding.decode(envelope.payload)
    assert isinstance(said, tx.AttemptSigned)
    return said


def attested(envelope: Envelope) -> tx.AddressAttested:
    said = encoding.decode(envelope.payload)
    assert isinstance(said, tx.AddressAttested)
    return said


def refusal(signer: Signer, attempt: str) -> RefusalCode:
    with pytest.raises(RefusedError) as caught:
        signer.sign(attempt)
    return caught.value.refusal.code


@pytest.mark.parametrize("name", ["w-eth", "w-usdc", "w-sol", "w-spl"])
def test_the_ledger_takes_what_the_signer_says(tmp_path: Path, name: str) -> None:
    ledger = funded()
    attempt = prepare(ledger, name)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    envelope = signer.sign(attempt).envelope
    assert ledger.submit(envelope).code == "ok"
    row = ledger.state.attempts.need(attempt)
    assert (row.raw, row.tx) == (signed(envelope).raw, signed(envelope).tx)


def test_the_same_bytes_and_the_same_envelope_however_often(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    first = signer.sign(attempt)
    assert signer.sign(attempt) == first
    ledger.submit(first.envelope)
    signer.extend(ledger.blobs[-1:])
    assert signer.sign(attempt) == first
    signer.close()
    assert make_signer(tmp_path, ledger).sign(attempt) == first
    assert ledger.submit(first.envelope).code == "ok"


def test_a_restart_remembers_its_tip_and_goes_on(tmp_path: Path) -> None:
    ledger = funded()
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    before = signer.standing()
    signer.close()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger)
    assert signer.standing() == before
    assert refusal(signer, attempt) is Code.UNKNOWN_ATTEMPT
    signer.extend(ledger.blobs[-1:])
    signer.sign(attempt)
    assert signer.standing().signed == 1


def test_numbers_are_never_given_out_twice(tmp_path: Path) -> None:
    """Several envelopes may be out before the ledger has the first, and a restart comes in between."""
    ledger = funded()
    attempts = [prepare(ledger, name) for name in ("w-eth", "w-usdc", "w-sol")]
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    envelopes = [signer.sign(attempts[0]).envelope]
    signer.close()
    signer = make_signer(tmp_path, ledger)
    envelopes += [signer.sign(attempt).envelope for attempt in attempts[1:]]
    assert len({signed(envelope).seq for envelope in envelopes}) == 3
    assert [ledger.submit(envelope).code for envelope in reversed(envelopes)] == ["ok", "ok", "ok"]


def test_an_envelope_whose_number_is_taken_is_issued_anew(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    first = signer.sign(attempt).envelope
    other = ledger.said("signer", tx.AddressAttested, chain=EVM, tier="hot", account="", index=7, address="0x")
    assert encoding.decode(other.payload).seq == signed(first).seq  # type: ignore[union-attr]  # our own payload
    ledger.submit(other)
    signer.extend(ledger.blobs[-1:])
    second = signer.sign(attempt).envelope
    assert signed(second).seq == signed(first).seq + 1
    assert signed(second).raw == signed(first).raw
    assert ledger.submit(second).code == "ok"


def test_an_envelope_that_fell_out_of_the_window_is_issued_anew(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    first = signed(signer.sign(attempt).envelope)
    for seq in (first.seq + WINDOW - 1, first.seq + WINDOW):
        far = tx.AddressAttested(
            ledger=first.ledger, seq=seq, chain=EVM, tier="hot", account="", index=7, address="somewhere"
        )
        ledger.submit(ledger.keystore.envelope("signer", encoding.encode(far)))
    signer.extend(ledger.blobs[-2:])
    second = signer.sign(attempt).envelope
    assert signed(second).seq == first.seq + WINDOW + 1
    assert ledger.submit(second).code == "ok"


def test_nothing_leaves_that_is_not_in_the_log(tmp_path: Path) -> None:
    """The disk is full when the log is written: no answer, and none ever again from this process; a restart signs."""
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    with full_disk(), pytest.raises(LogError):
        signer.sign(attempt)
    assert refusal(signer, attempt) is Code.STORAGE
    assert signer.standing().failure
    signer.close()
    signer = make_signer(tmp_path, ledger)
    assert signer.standing().signed == 0
    signer.sign(attempt)


def test_the_log_holds_all_that_is_needed_to_tell_it_again(tmp_path: Path) -> None:
    ledger = funded()
    attempts = [prepare(ledger, name) for name in ("w-eth", "w-spl", "w-usdc")]
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    envelopes = [signed(signer.sign(attempt).envelope) for attempt in attempts]
    first, second = signer.page(0, 2), signer.page(2, 2)
    assert (first.more, second.more, signer.page(3, 2).entries) == (True, False, ())
    entries = first.entries + second.entries
    assert [(e.place, e.attempt, e.raw, e.tx) for e in entries] == [
        (place, said.attempt, said.raw, said.tx) for place, said in enumerate(envelopes, 1)
    ]
    ledger_again = funded()
    for entry in entries:
        ledger_again.say(
            "composer",
            tx.AttemptPrepared,
            excludes=(),
            **{name: getattr(entry, name) for name in tx.AttemptPrepared.__struct_fields__ if hasattr(entry, name)},
        )
        assert ledger_again.state.attempts.need(entry.attempt).message == entry.message


# A log or a journal that was put back.


def test_a_log_that_was_put_back_pulls_the_brake(tmp_path: Path) -> None:
    """The ledger has bytes under our key that the log does not: it may have forgotten others too."""
    ledger = funded()
    attempt, later = prepare(ledger), prepare(ledger, "w-sol")
    before = tmp_path / "before"
    before.mkdir()
    SignerLog.create(before / LOG)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = make_signer(elsewhere, ledger)
    other.extend(ledger.blobs)
    envelope = other.sign(attempt).envelope
    ledger.submit(envelope)

    signer = make_signer(before, ledger)
    signer.extend(ledger.blobs)
    brake = signer.standing().brake
    assert brake is not None
    assert brake.reason == LOG_BEHIND
    assert refusal(signer, later) is Code.BRAKE
    assert [entry.raw for entry in signer.page(0, 9).entries] == [signed(envelope).raw]
    signer.close()
    signer = make_signer(before, ledger)
    assert refusal(signer, later) is Code.BRAKE
    signer.brake(False, "looked into", "uid:0")
    signer.sign(later)
    assert signed(signer.sign(attempt).envelope).raw == signed(envelope).raw


# The brake, the key, the keystore.


def test_the_brake_stops_every_signature_and_survives_a_restart(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    signer.sign(attempt)
    signer.brake(True, "strange withdrawals", "uid:1000")
    assert refusal(signer, attempt) is Code.BRAKE
    signer.close()
    signer = make_signer(tmp_path, ledger)
    assert refusal(signer, attempt) is Code.BRAKE
    assert signer.brake(False, "all is well", "uid:1000").brake is None
    signer.sign(attempt)
    signer.close()
    make_signer(tmp_path, ledger).sign(attempt)


def test_the_brake_needs_no_journal(tmp_path: Path) -> None:
    ledger = Ledger()
    signer = make_signer(tmp_path, ledger)
    assert signer.brake(True, "why not", "uid:0").brake is not None
    assert (tmp_path / BRAKE).exists()
    assert refusal(signer, "ab" * 32) is Code.BLOCKS_MISSING


def test_no_signature_on_an_old_tip(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    ledger.now += CLOCK_MARGIN_MS + 1
    assert refusal(signer, attempt) is Code.TIP_STALE
    ledger.tick()
    signer.extend(ledger.blobs[-1:])
    signer.sign(attempt)


def test_a_signer_whose_key_the_ledger_does_not_know(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger, keystore=Keystore(OTHER_SEEDS))
    signer.extend(ledger.blobs)
    assert refusal(signer, attempt) is Code.KEY_NOT_REGISTERED


def test_a_signer_whose_key_was_revoked(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    for admin in ("admin-1", "admin-2"):
        ledger.say(admin, tx.KeyRevoked, id="signer")
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    assert refusal(signer, attempt) is Code.KEY_NOT_REGISTERED


def test_the_right_key_in_the_wrong_role(tmp_path: Path) -> None:
    ledger = funded()
    keystore = Keystore({**SEEDS, "signer": ledger.keys["watcher"].export_seed()})
    SignerLog.create(tmp_path / LOG)
    signer = Signer(tmp_path, keystore, key="watcher", clock=lambda: ledger.now)
    signer.extend(ledger.blobs)
    assert ledger.state.keys.need("watcher").public == keystore.identity.hex()
    assert refusal(signer, prepare(ledger)) is Code.KEY_NOT_REGISTERED


def test_a_rotated_voice_says_the_same_again(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    first = signed(signer.sign(attempt).envelope)
    signer.close()
    renewed = Keystore({**SEEDS, "signer": b"\7" * 32})
    for admin in ("admin-1", "admin-2"):
        ledger.say(admin, tx.KeyRotated, id="signer", public=renewed.identity.hex())
    signer = make_signer(tmp_path, ledger, keystore=renewed)
    signer.extend(ledger.blobs)
    second = signer.sign(attempt).envelope
    assert signed(second).raw == first.raw
    assert ledger.submit(second).code == "ok"


def test_what_another_signer_signed_is_not_missing_from_our_log(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    other = Keystore({**OTHER_SEEDS, "signer": b"\7" * 32})
    for admin in ("admin-1", "admin-2"):
        ledger.say(admin, tx.KeyRegistered, id="other", public=other.identity.hex(), roles=(Role.SIGNER,))
    said = tx.AttemptSigned(ledger=ledger.state.ledger, seq=0, attempt=attempt, raw="00", tx="x")
    assert ledger.submit(other.envelope("other", encoding.encode(said))).code == "ok"
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    assert signer.standing().brake is None
    assert refusal(signer, attempt) is Code.SIGNED_BEFORE


def test_a_brake_pulled_while_a_signature_is_being_made_stops_it(tmp_path: Path) -> None:
    """The clock is read after the first look at the brake; here that is the moment in which somebody pulls it."""
    ledger = funded()
    attempt = prepare(ledger)
    pull: list[str] = []

    def clock() -> int:
        if pull:
            signer.brake(True, pull.pop(), "uid:1000")
        return ledger.now

    SignerLog.create(tmp_path / LOG)
    signer = Signer(tmp_path, ledger.keystore, key="signer", clock=clock)
    signer.extend(ledger.blobs)
    pull.append("now")
    assert refusal(signer, attempt) is Code.BRAKE
    assert signer.standing().signed == 0


def test_a_wallet_that_is_not_the_keystores(tmp_path: Path) -> None:
    """Same voice, other wallet seeds: an address the ledger believes in, and whose key we do not have."""
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger, keystore=Keystore({**OTHER_SEEDS, "signer": bytes(range(64, 96))}))
    signer.extend(ledger.blobs)
    assert refusal(signer, attempt) is Code.KEY_MISMATCH
    assert signer.standing().signed == 0


# Attestations.


def test_an_address_is_attested_for_the_account_that_asked(tmp_path: Path) -> None:
    ledger = funded()
    ledger.say("payouts", tx.AddressRequested, account="carol", chain=SOL)
    index = ledger.state.slots.need("carol", SOL).index
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    first = signer.attest(SOL, "deposit", "carol", index)
    assert signer.attest(SOL, "deposit", "carol", index) == first
    assert attested(first.envelope).address == ledger.address(SOL, Tier.DEPOSIT, index)
    assert ledger.submit(first.envelope).code == "ok"
    signer.extend(ledger.blobs)
    assert signer.attest(SOL, "deposit", "carol", index) == first


def test_house_wallets_are_attested_before_anything_else(tmp_path: Path) -> None:
    ledger = Ledger()
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    said = [signer.attest(chain, tier, "", 0).envelope for chain in (EVM, SOL) for tier in ("hot", "gas")]
    assert [ledger.submit(envelope).code for envelope in said] == ["ok"] * 4


@pytest.mark.parametrize(
    ("chain", "tier", "account", "index", "expected"),
    [
        ("nowhere", "hot", "", 0, Code.UNKNOWN_CHAIN),
        (EVM, "deposit", "nobody", 0, Code.NOT_REQUESTED),
        (EVM, "deposit", "alice", 1, Code.NOT_REQUESTED),
        (EVM, "deposit", "", 0, Code.NOT_REQUESTED),
        (EVM, "hot", "alice", 0, Code.NOT_REQUESTED),
        (EVM, "vault", "", 0, Code.NOT_REQUESTED),
    ],
)
def test_no_address_that_nobody_asked_for(
    tmp_path: Path, chain: str, tier: str, account: str, index: int, expected: RefusalCode
) -> None:
    ledger = funded()
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    with pytest.raises(RefusedError) as caught:
        signer.attest(chain, tier, account, index)
    assert caught.value.refusal.code is expected


def test_no_address_beside_the_one_the_ledger_has(tmp_path: Path) -> None:
    ledger = funded()
    signer = make_signer(tmp_path, ledger, keystore=Keystore({**OTHER_SEEDS, "signer": bytes(range(64, 96))}))
    signer.extend(ledger.blobs)
    with pytest.raises(RefusedError) as caught:
        signer.attest(EVM, "deposit", "alice", 0)
    assert caught.value.refusal.code is Code.ADDRESS_TAKEN


def test_no_address_that_belongs_to_something_else(tmp_path: Path) -> None:
    ledger = funded()
    hot = ledger.address(EVM, Tier.HOT, 5)
    ledger.say("signer", tx.AddressAttested, chain=EVM, tier="gas", account="", index=9, address=hot)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    with pytest.raises(RefusedError) as caught:
        signer.attest(EVM, "hot", "", 5)
    assert caught.value.refusal.code is Code.ADDRESS_TAKEN


def test_an_attestation_that_the_ledger_refused_is_issued_anew(tmp_path: Path) -> None:
    """It came before the block in which the account asked."""
    ledger = funded()
    ledger.say("payouts", tx.AddressRequested, account="carol", chain=EVM)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    index = ledger.state.slots.need("carol", EVM).index
    first = signer.attest(EVM, "deposit", "carol", index).envelope
    signer.close()

    other = funded()
    assert other.submit(first).code == "address_index_wrong"
    other.say("payouts", tx.AddressRequested, account="carol", chain=EVM)
    directory = tmp_path / "other"
    directory.mkdir()
    (tmp_path / LOG).rename(directory / LOG)
    signer = make_signer(directory, other)
    signer.extend(other.blobs)
    second = signer.attest(EVM, "deposit", "carol", index).envelope
    assert attested(second).seq == attested(first).seq + 1
    assert other.submit(second).code == "ok"


def test_the_raw_bytes_are_what_the_chain_will_accept(tmp_path: Path) -> None:
    """An independent look at the signature: eth-account recovers whose key made it."""
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    said = signed(signer.sign(attempt).envelope)
    assert Account.recover_transaction("0x" + said.raw) == ledger.address(EVM, Tier.HOT)


def test_files_are_the_signers_own(tmp_path: Path) -> None:
    ledger = funded()
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    signer.brake(True, "a look at the files", "uid:0")
    modes = {path.name: os.stat(path).st_mode & 0o077 for path in tmp_path.rglob("*")}
    assert not [name for name, mode in modes.items() if mode and not name.endswith(("-wal", "-shm"))]


def test_a_gap_of_more_than_a_window_of_unspoken_numbers(tmp_path: Path) -> None:
    ledger = funded()
    attempt = prepare(ledger)
    signer = make_signer(tmp_path, ledger)
    signer.extend(ledger.blobs)
    signer.close()
    log = SignerLog.open(tmp_path / LOG)
    high = ledger.state.windows.need("signer").high
    far = ledger.keystore.envelope("signer", b"{}")
    log.remember("elsewhere", Issued(seq=high + WINDOW, envelope=far))
    log.close()
    signer = make_signer(tmp_path, ledger)
    said = signer.sign(attempt).envelope
    assert signed(said).seq == high + 1
    assert ledger.submit(said).code == "ok"
