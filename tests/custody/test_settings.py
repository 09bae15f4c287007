"""The daemon's configuration: every fault of every file at once, with file and path; the shipped one is good."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from custody.configuration import ConfigurationError
from custody.custodyd import main
from custody.daemon.compose import provider_faults
from custody.settings import load, parameters
from tools.sources import ROOT

SHIPPED = ROOT / "config"
SOL_HERE = 'chain = "solana", token = "native"'
DEAD = '"death_quorum", scope = "solana", value = "3"'
CREDENTIALS = """url_credential = "ethereum-first-url" # the whole URL, as many providers put the key into it
requests_per_second = 25.0

[[providers]]
name = "second"
url_credential = "ethereum-second-url\""""
SAME_URLS = """url = "https://one.example/rpc"
requests_per_second = 25.0

[[providers]]
name = "second"
url = "HTTPS://One.example/rpc/\""""
NAMED = ("ethereum-first-url", "ethereum-second-url", "solana-first-url", "solana-second-url")
PROGRAM = 'program = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped configuration, to be spoiled."""
    shutil.copytree(SHIPPED, tmp_path / "config")
    return tmp_path / "config"


def spoil(folder: Path, file: str, what: str, by: str) -> None:
    path = folder / file
    text = path.read_text()
    assert what in text
    path.write_text(text.replace(what, by, 1))


def problems(folder: Path) -> list[str]:
    """All complaints, each as `file: place: message` with the file's name alone."""
    with pytest.raises(ConfigurationError) as caught:
        load(folder / "custody.toml")
    return [problem.removeprefix(f"{folder}{os.sep}") for problem in caught.value.problems]


def give_credentials(folder: Path) -> None:
    """Each provider's URL where its credential is looked for."""
    for name in NAMED:
        (folder / name).write_text(f"https://{name}.example/secret-key\n")
        (folder / name).chmod(0o600)


def check(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["check-config", "--config", str(folder / "custody.toml"), *options])


def test_what_is_shipped_is_good_and_lacks_only_the_credentials() -> None:
    everything = load(SHIPPED / "custody.toml")
    assert [model.chain for model in everything.chains] == ["ethereum", "solana"]
    assert all(len(model.providers) >= 2 for model in everything.chains)
    faults = provider_faults(everything)
    named = [item.url_credential for model in everything.chains for item in model.providers]
    assert len(named) == len(faults) == 4
    for name, fault in zip(named, faults, strict=True):
        assert name in fault
        assert "does not exist" in fault


def test_faults_in_several_files_are_told_together(folder: Path) -> None:
    spoil(folder, "custody.toml", "drain_seconds = 30.0", "drain_seconds = -1.0\nsurprise = true")
    spoil(folder, "custody.toml", "127.0.0.1:8420", "127.0.0.1:99999")
    told = problems(folder)
    assert [line.split(": ")[:2] for line in told] == [
        ["custody.toml", "listen"],
        ["custody.toml", "drain_seconds"],
        ["custody.toml", "surprise"],
    ]
    # The other files are read all the same, and all of them complain.
    spoil(folder, "chains/ethereum.toml", 'identity = "1"', 'identity = "one"')
    spoil(folder, "chains/solana.toml", "requests_per_second = 40.0", 'requests_per_second = "40"')
    spoil(folder, "chains/solana.toml", "price_floor", "price_flor")
    spoil(folder, "assets.toml", "decimals = 18", "decimals = 99")
    spoil(folder, "policy.toml", "parameters = [", "parameters = 7\nrest = [")
    told = problems(folder)
    assert {line.split(": ")[0] for line in told} == {
        "custody.toml",
        "chains/ethereum.toml",
        "chains/solana.toml",
        "assets.toml",
        "policy.toml",
    }
    places = {tuple(line.split(": ")[:2]) for line in told}
    assert ("chains/solana.toml", "providers[0].requests_per_second") in places
    assert ("chains/solana.toml", "solana.price_flor") in places
    assert ("assets.toml", "assets[0].representations[0].decimals") in places


@pytest.mark.parametrize(
    ("file", "what", "by", "told"),
    [
        ("chains/ethereum.toml", 'chain = "ethereum"', 'chain = "solana"', "solana is configured twice"),
        ("chains/ethereum.toml", "[evm]", "[solana]\nprice_cap = 1\n[evm]", "has the table [evm] and no other"),
        ("chains/ethereum.toml", 'name = "second"', 'name = "first"', "two providers have the same name"),
        ("chains/ethereum.toml", 'url_credential = "ethereum-first-url"', 'url = ""', "either url or url_credential"),
        ("chains/solana.toml", "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d", "0OIl", "the genesis hash in base58"),
        ("chains/solana.toml", 'rent_cap = "3000000"', 'rent_cap = "0"', "payouts.rent_cap"),
        ("assets.toml", SOL_HERE, 'chain = "bitcoin", token = "native"', "names the chain bitcoin"),
        ("assets.toml", SOL_HERE, 'chain = "solana", token = "x"', "the native coin of solana"),
        ("assets.toml", 'asset = "SOL"', 'asset = "ETH"', "ETH is listed twice"),
        ("assets.toml", PROGRAM, 'program = ""', "program is the token"),
        ("assets.toml", "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", "native", "is listed already"),
        ("policy.toml", '"limit_daily", scope = "ETH"', '"limit_dayly", scope = "ETH"', "no parameter of this name"),
        ("policy.toml", '"limit_daily", scope = "ETH"', '"limit_daily", scope = "BTC"', "not a configured asset"),
        ("policy.toml", '"attempts", scope = "solana"', '"attempts", scope = "SOL"', "not a configured chain"),
        ("policy.toml", '"death_quorum", scope = "solana", value = "2"', DEAD, "no attempt could ever be called dead"),
        ("chains/ethereum.toml", "# quorum = 2", "quorum = 3", "quorum is 3 of 2 providers: nothing could be proven"),
        ("chains/solana.toml", "# quorum = 2", "quorum = 0", "greater than or equal to 1"),
        ("chains/ethereum.toml", "ethereum-second-url", "ethereum-first-url", "have the same url"),
        ("chains/ethereum.toml", CREDENTIALS, SAME_URLS, "have the same url"),
        ("custody.toml", 'chains = ["chains/ethereum.toml", "chains/solana.toml"]', "chains = []", "at least one"),
    ],
)  # fmt: skip
def test_each_fault_by_name(folder: Path, file: str, what: str, by: str, told: str) -> None:
    spoil(folder, file, what, by)
    assert any(told in line for line in problems(folder)), problems(folder)


def test_a_file_that_is_missing_is_one_fault_among_others(folder: Path) -> None:
    (folder / "assets.toml").unlink()
    spoil(folder, "chains/solana.toml", 'family = "solana"', 'family = "bitcoin"')
    told = problems(folder)
    assert any(line.startswith("assets.toml: No such file") for line in told)
    assert any(line.startswith("chains/solana.toml: family") for line in told)


def test_a_file_that_is_not_toml_hides_only_what_it_names(folder: Path) -> None:
    spoil(folder, "chains/ethereum.toml", "[evm]", "[evm")
    spoil(folder, "policy.toml", '"limit_daily", scope = "ETH"', '"limit_dayly", scope = "ETH"')
    spoil(folder, "policy.toml", '"limit_daily", scope = "SOL"', '"limit_daily", scope = "BTC"')
    told = problems(folder)
    # That `ethereum` is a chain can't be read any more, so nobody is blamed for naming it.
    assert [tuple(line.split(": ")[:2]) for line in told] == [
        ("chains/ethereum.toml", told[0].split(": ")[1]),
        ("policy.toml", "parameters[1].name"),
        ("policy.toml", "parameters[4].scope"),
    ]
    spoil(folder, "custody.toml", "name = ", "name = = ")
    assert [line.split(": ")[0] for line in problems(folder)] == ["custody.toml"]


@pytest.mark.parametrize("gone", [False, True])
def test_a_fault_of_the_assets_hides_none_of_the_policy(folder: Path, gone: bool) -> None:
    spoil(folder, "assets.toml", "decimals = 18", "decimals = 99")
    spoil(folder, "policy.toml", '"limit_daily", scope = "ETH"', '"limit_dayly", scope = "ETH"')
    spoil(folder, "policy.toml", '"limit_daily", scope = "SOL"', '"limit_daily", scope = "BTC"')
    spoil(folder, "policy.toml", '"attempts", scope = "solana", value = "2"', '"attempts", scope = "SOL", value = 2')
    if gone:
        (folder / "assets.toml").unlink()
    places = [tuple(line.split(": ")[:2]) for line in problems(folder)]
    assert places[1:] == [
        ("policy.toml", "parameters[12].value"),
        ("policy.toml", "parameters[1].name"),
        *([] if gone else [("policy.toml", "parameters[4].scope")]),
        ("policy.toml", "parameters[12].scope"),
    ]


def test_a_wrong_number_is_one_fault(folder: Path) -> None:
    spoil(folder, "assets.toml", "decimals = 18", "decimals = 99")
    assert len(problems(folder)) == 1
    spoil(folder, "assets.toml", 'representations = [{ chain = "ethereum"', "representations = []\n#")
    assert [line.partition(": ")[2] for line in problems(folder)] == [
        "assets[0].representations: there must be at least one"
    ]


def test_what_the_policy_leaves_out_of_a_solana_chain_is_two_voices_for_a_death(folder: Path) -> None:
    founding = [(item.name, item.scope, item.value) for item in parameters(load(folder / "custody.toml"))]
    assert founding.count(("death_quorum", "solana", "2")) == 1
    line = '  { name = "death_quorum", scope = "solana", value = "2" },\n'
    spoil(folder, "policy.toml", line, "")
    assert {(item.name, item.scope, item.value) for item in parameters(load(folder / "custody.toml"))} == set(founding)
    second = '[[providers]]\nname = "second"\nurl_credential = "solana-second-url"\nrequests_per_second = 40.0\n'
    spoil(folder, "chains/solana.toml", second, "")
    assert parameters(load(folder / "custody.toml"))[-1].value == "1"
    spoil(folder, "policy.toml", "parameters = [\n", f"parameters = [\n{line}")
    assert [line.partition(" has ")[2][:11] for line in problems(folder)] == ["1 providers"]


def test_check_config_says_all_of_it_and_exits_78(folder: Path) -> None:
    give_credentials(folder)
    good = check(folder)
    assert good.exit_code == 0, good.stderr
    assert "ethereum (2 providers), solana (2 providers)" in good.output
    spoil(folder, "chains/ethereum.toml", 'identity = "1"', 'identity = "one"')
    spoil(folder, "policy.toml", "parameters = [", "parameters = 7\nrest = [")
    (folder / "solana-first-url").chmod(0o644)
    (folder / "solana-second-url").write_text("ftp://secret-key@host/")
    bad = check(folder)
    assert bad.exit_code == 78
    assert bad.stdout == ""
    lines = bad.stderr.splitlines()
    assert [Path(line.split(": ")[0]).name for line in lines[:-2]] == ["ethereum.toml", "policy.toml", "policy.toml"]
    assert [line.split(": ")[:2] for line in lines[-2:]] == [
        ["solana", "provider first"],
        ["solana", "provider second"],
    ]
    assert "secret-key" not in bad.output


def test_check_config_without_credentials_still_reads_the_urls_of_the_files(folder: Path) -> None:
    assert len(check(folder).stderr.splitlines()) == 4
    assert "no credential was read" in check(folder, "--without-credentials").stdout
    spoil(folder, "chains/solana.toml", 'url_credential = "solana-first-url"', 'url = "ftp://host/"')
    answer = check(folder, "--without-credentials")
    assert (answer.exit_code, len(answer.stderr.splitlines())) == (78, 1)
    assert answer.stderr.startswith("solana: provider first: its url must be")


def test_two_credentials_with_one_url_are_one_voice(folder: Path) -> None:
    give_credentials(folder)
    (folder / "solana-second-url").write_text("https://SOLANA-first-url.example/secret-key/")
    told = provider_faults(load(folder / "custody.toml"))
    assert told == ("solana: provider second: its url is that of first; two voices must be two",)


@pytest.mark.parametrize("url", ["ftp://secret-key@host/", "no url at all", "https://h\u00f6st/secret-key"])
def test_a_credentials_fault_never_shows_the_credential(folder: Path, url: str) -> None:
    secret = folder / "ethereum-first-url"
    secret.write_text(url)
    secret.chmod(0o600)
    told = provider_faults(load(folder / "custody.toml"))
    assert told[0] == "ethereum: provider first: its url must be http(s)://host… in ASCII"
    assert len(told) == 4
    assert not re.search("secret-key|no url", "".join(told))


@pytest.mark.parametrize("command", ["init", "run"])
def test_init_and_run_name_every_missing_credential_and_exit_78(folder: Path, tmp_path: Path, command: str) -> None:
    spoil(folder, "custody.toml", "/var/lib/custody", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "journal.db").touch()
    if command == "init":
        (tmp_path / "data" / "journal.db").unlink()
    answer = CliRunner().invoke(main, [command, "--config", str(folder / "custody.toml")])
    assert answer.exit_code == 78, answer.output
    assert len(answer.stderr.splitlines()) == 4
    assert "ethereum: provider first" in answer.stderr
    assert "solana: provider second" in answer.stderr


def test_run_without_a_journal_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    spoil(folder, "custody.toml", "/var/lib/custody", str(tmp_path / "data"))
    answer = CliRunner().invoke(main, ["run", "--config", str(folder / "custody.toml")])
    assert answer.exit_code == 78
    assert "run `custodyd init` first" in answer.stderr
