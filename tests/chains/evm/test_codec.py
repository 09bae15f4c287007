"""The EVM wire against the vectors of its specifications and against eth-account, which nobody here wrote."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from eth_account import Account
from eth_hash.auto import keccak
from eth_keys.datatypes import Signature
from hypothesis import given
from hypothesis import strategies as st

from chains.errors import AddressError, Retryable
from chains.evm import codec
from tests.chains.evm import blocks
from tests.evm_keys import EvmKey

MALFORMED_NUMBERS = (
    *("", "0x", "0x00", "0x01", "00", "1", "0", "x1", "0X1", "-0x1", "0x-1", "+0x1", "0x+1", "0x1_0", "0x_1", "0xg"),
    *(" 0x1", "0x1 ", "0x1\n", "0x1\x00", "0x\uff11", "0x1\u0661", "\uff10x1", "0x1.0", "0x1e+1", "0b1", "0o1"),
    "0x" + "f" * 65,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [("0x0", 0), ("0x1", 1), ("0xff", 255), ("0xFf", 255), ("0x400", 1024), ("0x" + "f" * 64, 2**256 - 1)],
)
def test_numbers_are_read(text: str, number: int) -> None:
    assert codec.quantity(text) == number


@pytest.mark.parametrize("text", MALFORMED_NUMBERS)
def test_malformed_numbers_are_refused_by_parser_and_decoder_alike(text: str) -> None:
    with pytest.raises(Retryable, match="malformed"):
        codec.quantity(text)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(text), type=codec.Quantity)


def test_an_absent_number_is_malformed() -> None:
    with pytest.raises(Retryable, match="malformed"):
        codec.quantity(None)


@given(st.integers(0, 2**256 - 1))
def test_every_number_is_read_back(number: int) -> None:
    assert codec.quantity(hex(number)) == number
    assert msgspec.json.decode(msgspec.json.encode(hex(number)), type=codec.Quantity) == hex(number)


@given(st.text(max_size=12))
def test_no_other_spelling_is_a_number(text: str) -> None:
    try:
        number = codec.quantity(text)
    except Retryable:
        return
    assert text.lower() == hex(number)


# EIP-55, "Test Cases": all caps, all lower, normal.
EIP_55 = (
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
)


@pytest.mark.parametrize("address", EIP_55)
def test_the_checksums_of_the_eip(address: str) -> None:
    assert codec.checksummed(bytes.fromhex(address[2:])) == address
    assert codec.parse_address(address).hex() == address[2:].lower()


@given(st.binary(min_size=20, max_size=20), st.data())
def test_one_spelling_and_no_other(address: bytes, data: st.DataObject) -> None:
    spelling = codec.checksummed(address)
    assert codec.parse_address(spelling) == address
    letters = [place for place, letter in enumerate(spelling) if place > 1 and letter.isalpha()]
    if not letters:
        return
    place = data.draw(st.sampled_from(letters))
    other = spelling[:place] + spelling[place].swapcase() + spelling[place + 1 :]
    with pytest.raises(AddressError) as refused:
        codec.parse_address(other)
    assert refused.value.code == "address_checksum"


def test_one_case_is_refused_with_the_reason() -> None:
    for spelling in (EIP_55[4].lower(), "0x" + EIP_55[4][2:].upper()):
        with pytest.raises(AddressError, match="one case only"):
            codec.parse_address(spelling)


LOREM = b"Lorem ipsum dolor sit amet, consectetur adipisicing elit"


# The examples of the Ethereum documentation of RLP.
@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        (b"dog", "83646f67"),
        ([b"cat", b"dog"], "c88363617483646f67"),
        (b"", "80"),
        ([], "c0"),
        (0, "80"),
        (15, "0f"),
        (1024, "820400"),
        (b"\x00", "00"),
        ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
        (LOREM, "b838" + LOREM.hex()),
    ],
)
def test_rlp(item: codec.Rlp, encoded: str) -> None:
    assert codec.encode(item).hex() == encoded


def test_the_example_of_eip_155() -> None:
    [transaction] = blocks.transactions_of(
        [
            blocks.transaction(
                EvmKey(int("46" * 32, 16)).address,
                "0x" + "35" * 20,
                10**18,
                tx="0x" + "00" * 32,
                type="0x0",
                nonce="0x9",
                gasPrice=hex(20 * 10**9),
                v="0x25",
                r=hex(18515461264373351373200002665853028612451056578545711640558177905181847433846),
                s=hex(46948507304638947509940763649030358759909902576025900602547168820602576006531),
            )
        ]
    )
    message = codec.message_bytes(transaction)
    assert message is not None
    assert message.hex() == (
        "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080"
    )
    assert keccak(message).hex() == "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53"
    assert codec.message_digest(transaction) == hashlib.sha256(message).hexdigest()


KEY = EvmKey(77)
NUMBERS = st.integers(0, 2**64)
ACCESS = st.lists(
    st.tuples(st.binary(min_size=20, max_size=20), st.lists(st.binary(min_size=32, max_size=32), max_size=2)),
    max_size=2,
)


def signed_as_in_a_block(fields: dict[str, object]) -> codec.Transaction:
    """What a node would serve for a transaction that eth-account has signed."""
    signed = Account.sign_transaction(fields, KEY.secret)
    served = {name: hex(value) if isinstance(value, int) else value for name, value in fields.items()}
    kind = int(str(fields.get("type", 0)))
    served |= {
        "hash": "0x" + signed.hash.hex().removeprefix("0x"),
        "from": blocks.wire(KEY.address),
        "to": blocks.wire(str(fields["to"])) if fields["to"] else None,
        "input": "0x" + bytes(fields["data"]).hex(),  # type: ignore[call-overload] # the tests' own bytes
        "type": hex(kind),
        "r": hex(signed.r),
        "s": hex(signed.s),
        "v": hex(signed.v),
    }
    if kind:
        served["yParity"] = hex(signed.v)
    del served["data"]
    [transaction] = blocks.transactions_of([served])
    return transaction


@given(
    kind=st.sampled_from([None, 0, 1, 2]),
    nonce=NUMBERS,
    gas=NUMBERS,
    value=st.integers(0, 2**256 - 1),
    fee=st.integers(1, 2**64),
    data=st.binary(max_size=80),
    creates=st.booleans(),
    access=ACCESS,
)
def test_messages_are_rebuilt_from_blocks_as_they_were_signed(
    kind: int | None,
    nonce: int,
    gas: int,
    value: int,
    fee: int,
    data: bytes,
    creates: bool,
    access: list[tuple[bytes, list[bytes]]],
) -> None:
    fields: dict[str, object] = {
        "nonce": nonce,
        "gas": gas,
        "value": value,
        "data": data,
        "to": b"" if creates else blocks.STRANGER,
    }
    if kind == 2:
        fields |= {"maxFeePerGas": fee, "maxPriorityFeePerGas": fee - 1}
    else:
        fields |= {"gasPrice": fee}
    if kind is not None:
        fields |= {"chainId": 31337}
    if kind in (1, 2):
        listed = [
            {"address": codec.checksummed(address), "storageKeys": ["0x" + key.hex() for key in keys]}
            for address, keys in access
        ]
        fields |= {"type": kind, "accessList": listed}
    transaction = signed_as_in_a_block(fields)
    assert codec.is_itself(transaction)
    message = codec.message_bytes(transaction)
    assert message is not None
    r, s, v = (codec.quantity(each) for each in (transaction.r, transaction.s, transaction.v))
    parity = v if kind in (1, 2) else (v - 27 if v < 35 else (v - 35) % 2)
    signature = Signature(vrs=(parity, r, s))
    assert signature.recover_public_key_from_msg_hash(keccak(message)).to_checksum_address() == KEY.address
    changed = msgspec.structs.replace(transaction, value=hex(value ^ 1))
    assert not codec.is_itself(changed)
    assert codec.message_digest(changed) != codec.message_digest(transaction)


def test_a_kind_we_never_make_is_noticed_and_matches_nothing() -> None:
    first, second = blocks.transactions_of(
        [
            blocks.transaction(blocks.HOT, blocks.USER, type="0x4"),
            blocks.transaction(blocks.HOT, blocks.USER, type="0x4", tx="0x" + "a2" * 32),
        ]
    )
    assert codec.message_bytes(first) is None
    assert codec.is_itself(first)
    assert codec.message_digest(first) == codec.message_digest(first)
    assert codec.message_digest(first) != codec.message_digest(second)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"input": 5},
        {"input": "0x0"},
        {"input": "00"},
        {"accessList": [{"address": "0x00", "storageKeys": []}]},
        {"accessList": {}},
        {"to": "0x12"},
        {"nonce": "0x01"},
        {"yParity": None, "v": None},
        {"chainId": None},
        {"type": "two"},
    ],
)
def test_a_malformed_transaction_of_ours_is_nobodys_truth(spoiled: dict[str, object]) -> None:
    [transaction] = blocks.transactions_of([{**blocks.transaction(blocks.HOT, blocks.USER), **spoiled}])
    with pytest.raises(Retryable, match="malformed"):
        codec.message_digest(transaction)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        "0x" + "aa" * 19,
        "0x" + "aa" * 21,
        "0X" + "aa" * 20,
        "aa" * 21,
        "0x" + "aa " * 12 + "aaaa",
        "0x" + "gg" * 20,
        "0x" + "\uff11" * 40,
        "0x" + "aa" * 19 + "a\n",
    ],
)
def test_a_malformed_address_in_a_block_is_refused(text: str) -> None:
    with pytest.raises(Retryable, match="malformed"):
        codec.raw_address(text)
    with pytest.raises(Retryable, match="malformed"):
        codec.word(text + "  " * 12)


def test_a_transfer_is_decoded() -> None:
    [log] = blocks.logs_of([blocks.log(blocks.TOKEN, blocks.STRANGER, blocks.USER, 2**256 - 1)])
    assert codec.transfer(log) == codec.Transfer(
        contract=bytes.fromhex(blocks.TOKEN[2:]),
        sender=bytes.fromhex(blocks.STRANGER[2:]),
        recipient=bytes.fromhex(blocks.USER[2:]),
        amount=2**256 - 1,
    )


WORD = "0x" + "00" * 31 + "05"


@pytest.mark.parametrize(
    "spoiled",
    [
        {"topics": [codec.TRANSFER, blocks.word(blocks.STRANGER), blocks.word(blocks.USER), WORD]},
        {"topics": [codec.TRANSFER, blocks.word(blocks.STRANGER)]},
        {"topics": []},
        {"topics": [WORD, blocks.word(blocks.STRANGER), blocks.word(blocks.USER)]},
        {"topics": [codec.TRANSFER, blocks.word(blocks.STRANGER), "0x" + "01" * 12 + blocks.USER[2:].lower()]},
        {"topics": [codec.TRANSFER, "0x" + "01" * 12 + blocks.USER[2:].lower(), blocks.word(blocks.USER)]},
        {"data": "0x"},
        {"data": WORD + "00" * 32},
        {"data": WORD[:-2]},
    ],
)
def test_what_is_no_erc20_transfer_is_none(spoiled: dict[str, object]) -> None:
    [log] = blocks.logs_of([{**blocks.log(blocks.TOKEN, blocks.STRANGER, blocks.USER, 5), **spoiled}])
    assert codec.transfer(log) is None


@pytest.mark.parametrize(
    "spoiled",
    [
        {"number": "0x07"},
        {"number": 7},
        {"hash": "0x12"},
        {"hash": None},
        {"hash": "0x" + "B1" * 32},
        {"parentHash": "0x" + "b0" * 31},
        {"timestamp": "-0x1"},
        {"number": "0x7\n"},
    ],
)
def test_a_malformed_header_is_not_decoded(spoiled: dict[str, object]) -> None:
    header = {"number": "0x7", "hash": blocks.BLOCK, "parentHash": "0x" + "b0" * 32, "timestamp": "0x64"}
    place = codec.place(msgspec.convert(header, codec.Header))
    assert (place.position, place.height, place.parent_position, place.time) == (7, 7, 6, 100)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**header, **spoiled}, codec.Header)


# A block of anvil 1.7.1: a token's minting to a contract, and its two payments to made-up people. The places of the
# bits are the node's, written as nodes do: bit 0 is the last one of 256 bytes.
MINTED_BY, SPREAD_BY = "0x5fbdb2315678afecb367f032d93f642f64180aa3", "0xe7f1725e7734ce288f8367e1bb143e90bb3f0512"
SPREAD_BLOOM = (107, 269, 481, 486, 673, 762, 765, 801, 1041, 1058, 1060, 1163, 1241, 1254, 1443, 1565, 1651, 1978)


def speaking(address: str, *topics: str) -> codec.Log:
    [log] = blocks.logs_of([{**blocks.log(blocks.TOKEN, blocks.STRANGER, blocks.USER, 5), "address": address}])
    return msgspec.structs.replace(log, topics=list(topics))


def bits_of(bloom: int) -> tuple[int, ...]:
    return tuple(place for place in range(bloom.bit_length()) if bloom >> place & 1)


def test_the_filter_of_a_real_block() -> None:
    logs = [
        speaking(MINTED_BY, codec.TRANSFER, blocks.word(sender), blocks.word(recipient))
        for sender, recipient in (
            ("0x" + "00" * 20, SPREAD_BY),
            (SPREAD_BY, "0x" + "11" * 20),
            (SPREAD_BY, "0x" + "22" * 20),
        )
    ]
    assert bits_of(codec.bloom_of(logs)) == SPREAD_BLOOM
    for place in range(len(logs)):
        assert bits_of(codec.bloom_of(logs[:place] + logs[place + 1 :])) != SPREAD_BLOOM


LOGGED = st.lists(
    st.tuples(
        st.binary(min_size=20, max_size=20),
        st.lists(st.binary(min_size=32, max_size=32), max_size=4),
    ),
    max_size=5,
)


@given(LOGGED, LOGGED)
def test_a_filter_is_of_all_entries_and_of_nothing_else(
    logged: list[tuple[bytes, list[bytes]]], more: list[tuple[bytes, list[bytes]]]
) -> None:
    first, second = (
        [speaking("0x" + address.hex(), *("0x" + topic.hex() for topic in topics)) for address, topics in each]
        for each in (logged, more)
    )
    # The paper's own words: of the first three pairs of bytes of the hash, the low eleven bits each.
    expected = {
        int.from_bytes(keccak(entry)[2 * pair : 2 * pair + 2], "big") % 2048
        for address, topics in logged
        for entry in (address, *topics)
        for pair in range(3)
    }
    assert bits_of(codec.bloom_of(first)) == tuple(sorted(expected))
    assert codec.bloom_of(first + second) == codec.bloom_of(first) | codec.bloom_of(second)
    assert codec.bloom_of(first + first[::-1]) == codec.bloom_of(first)
    silent = [msgspec.structs.replace(log, data="0x" + "ff" * 64, log_index="0x9") for log in first]
    assert codec.bloom_of(silent) == codec.bloom_of(first)


@pytest.mark.parametrize("log", [speaking("0x12"), speaking(MINTED_BY, "0x" + "aa" * 31), speaking(MINTED_BY, "")])
def test_a_log_that_is_no_hex_has_no_filter(log: codec.Log) -> None:
    with pytest.raises(Retryable, match="malformed"):
        codec.bloom_of([log])
