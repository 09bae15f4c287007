"""Every named refusal the ledger can give, as values with a tested precedence and a `transient` flag.

A rejection is an answer, not a fault: it goes into the block beside the transaction it refuses, so that the same
request sent again gets the same answer for ever. Those of the first group come before a transaction is admitted and
leave no trace in the journal. `transient` tells a client that the same intent, with a new sequence number, may succeed
later without anybody changing it.
"""

from __future__ import annotations

from enum import Enum


class Rejection(Enum):
    """`value` is (code, transient, what to do). Codes are part of the outside contract: add, never rename."""

    # Before admission: nothing is journaled.
    PAYLOAD_MALFORMED = (
        "payload_malformed",
        False,
        "The payload is not a transaction of this ledger; see the README's table of types and fields.",
    )
    PAYLOAD_NOT_CANONICAL = (
        "payload_not_canonical",
        False,
        "Send canonical JSON (RFC 8785): sorted keys, no blanks, no repeated keys.",
    )
    UNKNOWN_TYPE = ("unknown_type", False, "There is no transaction of this type.")
    OTHER_LEDGER = (
        "other_ledger",
        False,
        "The payload names another ledger; check the genesis hash in the client's configuration.",
    )
    UNKNOWN_KEY = ("unknown_key", False, "No key of this id is registered.")
    KEY_REVOKED = ("key_revoked", False, "This key was revoked and may sign nothing more.")
    SIGNATURE_WRONG = (
        "signature_wrong",
        False,
        "The signature does not verify over the payload's bytes with the registered key.",
    )
    SEQUENCE_TOO_OLD = (
        "sequence_too_old",
        False,
        "The sequence number is below the key's window of 1,024; ask for the next one.",
    )
    SEQUENCE_TOO_FAR = (
        "sequence_too_far",
        False,
        "The sequence number is more than 1,024 past the highest seen; ask for the next one.",
    )
    SEQUENCE_CONFLICT = ("sequence_conflict", False, "This sequence number was used for another payload.")
    AMOUNT_ZERO = ("amount_zero", False, "An amount must be greater than zero.")
    AMOUNT_NEGATIVE = ("amount_negative", False, "An amount must be greater than zero.")
    AMOUNT_MALFORMED = (
        "amount_malformed",
        False,
        "An amount is a string of ASCII digits without sign, exponent, separator or leading zero.",
    )
    AMOUNT_TOO_LARGE = ("amount_too_large", False, "Amounts stay below 2^127.")
    IDENTIFIER_MALFORMED = (
        "identifier_malformed",
        False,
        "Ids are 1 to 64 characters of A-Z a-z 0-9 . _ -, beginning with a letter or digit.",
    )
    FIELD_OUT_OF_BOUNDS = (
        "field_out_of_bounds",
        False,
        "A text, list or number in the payload is longer or larger than its bound.",
    )

    # Verdicts: journaled with the transaction.
    ROLE_MAY_NOT = ("role_may_not", False, "The key's roles do not allow this transaction.")
    UNKNOWN_CHAIN = ("unknown_chain", False, "No chain of this name is set.")
    UNKNOWN_ASSET = ("unknown_asset", False, "No asset of this name is set.")
    ASSET_NOT_ON_CHAIN = ("asset_not_on_chain", False, "The asset has no representation on this chain.")
    UNKNOWN_ACCOUNT = ("unknown_account", False, "No account of this id exists; it begins with its first address.")
    UNKNOWN_ADDRESS = ("unknown_address", False, "The address is not one of ours, or not attested yet.")
    UNKNOWN_PARAMETER = ("unknown_parameter", False, "There is no parameter of this name, or not for this scope.")
    ID_CONFLICT = ("id_conflict", False, "This id was used before with other content; ids are kept for ever.")
    ADMIN_ENDORSED_ALREADY = (
        "admin_endorsed_already",
        False,
        "This admin key has endorsed exactly this before; another one must.",
    )
    KEY_WEAK = ("key_weak", False, "The public key is of small order or not canonically encoded.")
    KEY_EXISTS = ("key_exists", False, "A key of this id exists, or another id has or had this public key.")
    LAST_ADMIN = ("last_admin", False, "The ledger must keep enough admin keys for its quorum, and one that seals.")
    CHAIN_IS_FIXED = (
        "chain_is_fixed",
        False,
        "A chain's family, identity and starting block can't be changed, and no two chains have the same identity.",
    )
    ASSET_IS_FIXED = (
        "asset_is_fixed",
        False,
        "An asset's unit and its representations' decimals can't be changed or taken away.",
    )
    TOKEN_TAKEN = ("token_taken", False, "This contract or mint already represents another asset.")
    NATIVE_NOT_LISTED = (
        "native_not_listed",
        True,
        "The chain's own coin must be set as an asset before the chain is scanned.",
    )
    ADDRESS_INDEX_WRONG = ("address_index_wrong", False, "The attestation's index is not the one the ledger allotted.")
    ADDRESS_TAKEN = ("address_taken", False, "This address is attested already for something else.")
    WATCHED_SET_WRONG = ("watched_set_wrong", True, "Acknowledge addresses in the order the ledger attested them.")
    SCAN_NOT_JOINED = ("scan_not_joined", True, "The range does not join on to the cursor; scan again from the cursor.")
    SCAN_DISORDERED = ("scan_disordered", False, "The range's blocks, or facts within it, contradict one another.")
    SCAN_STALE = (
        "scan_stale",
        True,
        "The range was made with an older token list, watched set or decoder; scan again.",
    )
    POSITION_NOT_AT_CURSOR = (
        "position_not_at_cursor",
        True,
        "Balances are compared only at the cursor's own position.",
    )
    UNKNOWN_RECEIPT = ("unknown_receipt", False, "No unexplained receipt of this transaction and ordinal is open.")
    INSUFFICIENT_BALANCE = ("insufficient_balance", True, "The account's available balance is smaller than the amount.")
    AMOUNT_NOT_REPRESENTABLE = (
        "amount_not_representable",
        False,
        "The chain's representation of the asset is coarser than this amount.",
    )
    RECIPIENT_IS_OURS = ("recipient_is_ours", False, "The recipient is a wallet of the house.")
    LIMIT_PER_TRANSACTION = (
        "limit_per_transaction",
        False,
        "The amount is above the asset's limit for one withdrawal.",
    )
    LIMIT_DAILY = ("limit_daily", True, "The amount would pass the account's daily limit for this asset.")
    HELD = ("held", True, "A hold forbids this now; see the status.")
    UNKNOWN_WITHDRAWAL = ("unknown_withdrawal", False, "No withdrawal of this id exists.")
    WITHDRAWAL_NOT_WAITING = ("withdrawal_not_waiting", False, "The withdrawal is not waiting for this decision.")
    WITHDRAWAL_NOT_QUEUED = ("withdrawal_not_queued", True, "The withdrawal is not queued for payment.")
    PURPOSE_MISMATCH = ("purpose_mismatch", False, "A purpose does not match the obligation it names.")
    MESSAGE_MISMATCH = (
        "message_mismatch",
        False,
        "The attempt's id is not the digest of its chain, sender and message.",
    )
    UNKNOWN_ATTEMPT = ("unknown_attempt", False, "No attempt of this id exists.")
    ATTEMPT_NOT_OPEN = ("attempt_not_open", False, "The attempt's life cycle does not allow this.")
    NONCE_NOT_NEXT = ("nonce_not_next", True, "The lane's next nonce is another one.")
    EXCLUSION_WRONG = (
        "exclusion_wrong",
        False,
        "A replacement must exclude all attempts of its nonce, and pay the same or nothing.",
    )
    REPLACEMENTS_EXHAUSTED = ("replacements_exhausted", False, "This nonce has had all the replacements it may have.")
    BLOCKHASH_NOT_SCANNED = ("blockhash_not_scanned", True, "The blockhash is not among the cursor's recent blocks.")
    FEE_ABOVE_CAP = (
        "fee_above_cap",
        True,
        "The fee cap is above the chain's limit for one transaction (parameter fee_cap), or none is set.",
    )
    DEATH_NOT_PROVEN = (
        "death_not_proven",
        True,
        "The cursor or the providers do not prove yet that the attempt can't land.",
    )
    UNKNOWN_HOLD = ("unknown_hold", False, "No active hold of this id exists.")
    HOLD_NOT_YOURS = (
        "hold_not_yours",
        False,
        "Automatic code lifts only what automatic code set; what a person set asks for a person's own key.",
    )
    BATCH_INVALID = ("batch_invalid", False, "A transfer batch names an account, an asset or a pair it may not.")

    @property
    def code(self) -> str:
        """The stable name that clients, journals and dashboards see."""
        return self.value[0]

    @property
    def transient(self) -> bool:
        """Whether the same intent may succeed later by itself."""
        return self.value[1]

    @property
    def advice(self) -> str:
        """One sentence for the person who gets this answer."""
        return self.value[2]
