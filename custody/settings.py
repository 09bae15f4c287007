"""Every limit and place the daemon is configured with, once, with its unit and its reason.

`config/custody.toml` names the chain files, the asset file and the policy file beside it. Assets and policy are
proposals: they found the ledger at `custodyd init`, and afterwards the ledger's own state rules. URLs that carry a key
are secrets and stand in credentials by name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from pydantic import AfterValidator, Field, model_validator

from chains.observations import NATIVE
from custody.configuration import ConfigurationError, Location, Reading, Seconds, Settings
from custody.crosschecks import Named, asset_names, check_policy, content, tables
from custody.pausemodel import PauseModel
from custody.policy.parameters import Parameter, Scope

Digits = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,38})$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]

_BASE58_HASH = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}", re.ASCII)
"""32 bytes as Solana writes them."""


def _port(listen: str) -> str:
    if int(listen.rpartition(":")[2]) > 65_535:
        raise ValueError("a port is at most 65535")
    return listen


Items = TypeVar("Items", bound=tuple[object, ...])


def _some(items: Items) -> Items:
    """At least one. Asked after the items, since a minimum length would complain of good ones among the wrong."""
    if not items:
        raise ValueError("there must be at least one")
    return items


Positive = Annotated[float, Field(gt=0)]


class ProviderModel(Settings):
    """One upstream endpoint. Exactly one of `url` and `url_credential`; the latter names a credential that holds the
    whole URL, for providers that put a key into it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    url: str = ""
    url_credential: str = ""
    account: str = ""
    vendor: str = ""
    requests_per_second: Annotated[float, Field(gt=0, le=100_000)]
    windows: tuple[tuple[Positive, Positive], ...] = ()
    """Further windows of the plan: (seconds, units)."""
    costs: dict[str, Positive] = Field(default_factory=dict)
    """Units a call by method, where it isn't one; `requests_per_second` and `windows` then count units."""
    method_rates: dict[str, Positive] = Field(default_factory=dict)
    """Calls a second by method, where a method has a limit of its own."""
    concurrency: Annotated[int, Field(gt=0, le=1024)] = 32
    timeout_seconds: Seconds = 10.0

    @model_validator(mode="after")
    def _one_url(self) -> ProviderModel:
        if bool(self.url) == bool(self.url_credential):
            raise ValueError("give either url or url_credential")
        return self


def endpoint(url: str) -> tuple[str, ...]:
    """What makes two URLs one endpoint: the same but for a last slash and the case of scheme and host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return (url,)  # no URL at all, which is told where providers are opened
    return (parts.scheme.lower(), parts.netloc.lower(), parts.path.rstrip("/"), parts.query)


class WatchModel(Settings):
    """The cursor's pace; see `custody.flows.deposits.WatchSettings`."""

    poll_seconds: Seconds = 1.0
    range_limit: Annotated[int, Field(gt=0, le=1024)] = 64
    backoff_seconds: Seconds = 0.5
    backoff_cap_seconds: Seconds = 15.0


class PayoutModel(Settings):
    """Paying; see `custody.flows.withdrawals.PayoutSettings` and `custody.flows.attempts.AttemptSettings`."""

    poll_seconds: Seconds = 0.5
    in_flight: Annotated[int, Field(gt=0, le=256)] = 16
    retry_seconds: Seconds = 2.0
    retry_cap_seconds: Seconds = 60.0
    resend_seconds: Seconds = 2.0
    bump_seconds: Seconds = 120.0
    filler_seconds: Seconds = 60.0
    reserve: Digits = "0"
    rent_cap: Digits = "0"


class SweepModel(Settings):
    """Collecting deposits into the hot wallet. `minimum` by asset, in the asset's unit; an asset that is not named is
    not swept."""

    poll_seconds: Seconds = 30.0
    minimum: dict[str, Digits] = Field(default_factory=dict)


class PoolModel(Settings):
    """How sick providers are left alone; see `chains.pool.settings`."""

    silent_failures: Annotated[int, Field(gt=0)] = 5
    silent_seconds: Seconds = 2.0
    open_seconds: Seconds = 1.0
    open_cap_seconds: Seconds = 300.0


class EvmModel(Settings):
    """Wei per gas, whatever the chain or a provider asks; see `chains.evm.adapter.EvmSettings`."""

    max_fee: Digits
    max_tip: Digits
    max_gas: Annotated[int, Field(ge=21_000)] = 500_000
    traces: bool = False
    contracts: bool = False


class SolanaModel(Settings):
    """Micro-lamports a compute unit; see `chains.solana.adapter.SolanaSettings`."""

    price_floor: Annotated[int, Field(ge=0)] = 0
    price_cap: Annotated[int, Field(ge=0)] = 1_000_000
    price_percentile: Annotated[int, Field(ge=0, le=100)] = 75


class ChainModel(Settings):
    """One chain: `config/chains/<name>.toml`. `identity`: the EVM chain id, or Solana's genesis hash. `quorum`:
    how many providers must say the same of a money fact; left out, two, or the only one."""

    chain: Name
    family: Literal["evm", "solana"]
    identity: str
    providers: Annotated[tuple[ProviderModel, ...], Field(max_length=16), AfterValidator(_some)]
    quorum: Annotated[int, Field(ge=1)] | None = None
    evm: EvmModel | None = None
    solana: SolanaModel | None = None
    watch: WatchModel = WatchModel()
    payouts: PayoutModel = PayoutModel()
    sweeps: SweepModel = SweepModel()
    pause: PauseModel = PauseModel()
    pool: PoolModel = PoolModel()

    @property
    def believed(self) -> int:
        """How many providers must say the same."""
        return min(2, len(self.providers)) if self.quorum is None else self.quorum

    @model_validator(mode="after")
    def _its_family(self) -> ChainModel:
        if (self.evm is None) == (self.family == "evm") or (self.solana is None) == (self.family == "solana"):
            raise ValueError(f"a chain of the family {self.family} has the table [{self.family}] and no other")
        if self.family == "evm" and not (self.identity.isascii() and self.identity.isdecimal()):
            raise ValueError("identity is the chain id in decimal digits")
        if self.family == "solana" and _BASE58_HASH.fullmatch(self.identity) is None:
            raise ValueError("identity is the genesis hash in base58")
        if self.family == "solana" and self.payouts.rent_cap == "0":
            raise ValueError(
                "payouts.rent_cap is what one token account may cost: payments to new ones are not made without"
            )
        if len({provider.name for provider in self.providers}) != len(self.providers):
            raise ValueError("two providers have the same name")
        if self.quorum is not None and self.quorum > len(self.providers):
            raise ValueError(f"quorum is {self.quorum} of {len(self.providers)} providers: nothing could be proven")
        credentials = [provider.url_credential for provider in self.providers if provider.url_credential]
        urls = [endpoint(provider.url) for provider in self.providers if provider.url]
        if len(set(credentials)) != len(credentials) or len(set(urls)) != len(urls):
            raise ValueError("two providers have the same url: they would be one voice that counts as two")
        return self


class RepresentationModel(Settings):
    """An asset on one chain; `minimum` deposit in the representation's own unit."""

    chain: Name
    token: str
    decimals: Annotated[int, Field(ge=0, le=30)]
    program: str = ""
    minimum: Digits = "1"


class AssetModel(Settings):
    """An asset and its representations. Its unit is the finest of them."""

    asset: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9.-]{0,15}$")]
    representations: Annotated[tuple[RepresentationModel, ...], Field(max_length=64), AfterValidator(_some)]

    @property
    def decimals(self) -> int:
        """Of the unit."""
        return max(item.decimals for item in self.representations)


class AssetsModel(Settings):
    """`config/assets.toml`: a proposal for the ledger."""

    assets: tuple[AssetModel, ...]


class ParameterModel(Settings):
    """One number of the policy; `scope` is an asset or a chain."""

    name: str
    scope: str
    value: Digits


class PolicyModel(Settings):
    """`config/policy.toml`: a proposal for the ledger."""

    parameters: tuple[ParameterModel, ...] = ()


class DaemonModel(Settings):
    """`config/custody.toml`. Relative paths are relative to the file.

    `data`: the journal and the daemon's keys. `admins`: how many admin keys must say the same before keys, assets,
    chains or parameters change; fixed at `init`. `drain_seconds`: how long a SIGTERM waits for what is under way.
    """

    name: Annotated[str, Field(min_length=1, max_length=100)] = "custody"
    data: Location
    admin_socket: Location = Path("/run/custody/admin.sock")
    signer_socket: Location = Path("/run/custody-signer/signer.sock")
    signer_identity: Location
    listen: Annotated[str, Field(pattern=r"^[0-9a-fA-F.:\[\]]+:[0-9]{1,5}$"), AfterValidator(_port)] = "127.0.0.1:8420"
    chains: Annotated[tuple[Location, ...], Field(max_length=64), AfterValidator(_some)]
    assets: Location
    policy: Location
    admins: Annotated[int, Field(ge=1, le=16)] = 2
    drain_seconds: Seconds = 30.0
    max_journal_bytes: Annotated[int, Field(gt=0)] = 1 << 40
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.data / "journal.db"

    @property
    def pin(self) -> Path:
        """The file that `init` writes the genesis hash to: no other ledger's journal is opened beside it."""
        return self.data / "ledger"

    @property
    def keys(self) -> Path:
        """The folder of the daemon's own keys."""
        return self.data / "keys"


class Everything(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, checked together. `folder`: where bare credential names are looked for beside systemd's."""

    daemon: DaemonModel
    chains: tuple[ChainModel, ...]
    assets: AssetsModel
    policy: PolicyModel
    folder: Path


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at all files found. `everything` is None if there are `problems`; `chains`: those without a fault of
    their own, whose providers can be examined all the same."""

    problems: tuple[str, ...]
    chains: tuple[ChainModel, ...]
    folder: Path
    everything: Everything | None


def load(path: Path) -> Everything:
    """Read `custody.toml` and every file it names. Raises `ConfigurationError` with all that is wrong."""
    found = survey(path)
    if found.everything is None:
        raise ConfigurationError(found.problems)
    return found.everything


def survey(path: Path) -> Survey:
    """The same without an end at the first fault: a fault in one file hides none in another, as far as what is named
    there can still be read."""
    reading = Reading()
    daemon = reading.file(path, DaemonModel)
    files = _files(path, daemon)
    chains = [(file, reading.file(file, ChainModel)) for file in files.chains]
    assets = None if files.assets is None else reading.file(files.assets, AssetsModel)
    policy = None if files.policy is None else reading.file(files.policy, PolicyModel)
    named = [_named(file, model) for file, model in chains]
    names = [item.chain for item in named]
    for place, item in enumerate(named):
        if item.chain and names.index(item.chain) != place:
            reading.complain(item.file, "chain", f"{item.chain} is configured twice")
    all_chains = daemon is not None and all(names)
    if assets is not None and files.assets is not None and all_chains:
        _check_assets(files.assets, assets, {item.chain: item.family for item in named}, reading)
    if files.policy is not None:
        known = asset_names(files.assets) if files.assets is not None else None
        scopes = {Scope.ASSET: known, Scope.CHAIN: names if all_chains else None}
        check_policy(files.policy, scopes, {item.chain: item for item in named}, reading)
    good = tuple(model for _, model in chains if model is not None)
    folder = path.absolute().parent
    everything = None
    if not reading.problems:
        assert daemon is not None, "a file without faults has settings"
        assert assets is not None, "a file without faults has settings"
        assert policy is not None, "a file without faults has settings"
        everything = Everything(daemon=daemon, chains=good, assets=assets, policy=policy, folder=folder)
    return Survey(problems=tuple(reading.problems), chains=good, folder=folder, everything=everything)


def parameters(everything: Everything) -> tuple[ParameterModel, ...]:
    """What founds the ledger: the proposed policy and, for each Solana chain that it says nothing of, a death quorum of
    two providers, or of the only one: what one alone denies may be on its way all the same."""
    proposed = everything.policy.parameters
    quorum = Parameter.DEATH_QUORUM.label
    told = [item.scope for item in proposed if item.name == quorum]
    return proposed + tuple(
        ParameterModel(name=quorum, scope=model.chain, value=str(min(2, len(model.providers))))
        for model in everything.chains
        if model.family == "solana" and model.chain not in told
    )


class _Files(msgspec.Struct, frozen=True):
    chains: tuple[Path, ...]
    assets: Path | None
    policy: Path | None


def _files(path: Path, daemon: DaemonModel | None) -> _Files:
    """Where the other files are; without a faultless `custody.toml`, what it says of them all the same."""
    if daemon is not None:
        return _Files(daemon.chains, daemon.assets, daemon.policy)
    found = content(path)
    folder = path.absolute().parent
    chains, assets, policy = found.get("chains"), found.get("assets"), found.get("policy")
    return _Files(
        tuple(folder / item for item in chains if isinstance(item, str)) if isinstance(chains, list) else (),
        folder / assets if isinstance(assets, str) else None,
        folder / policy if isinstance(policy, str) else None,
    )


def _named(file: Path, model: ChainModel | None) -> Named:
    if model is not None:
        return Named(file=file, chain=model.chain, family=model.family, providers=len(model.providers))
    found = content(file)
    chain, family = found.get("chain"), found.get("family")
    return Named(
        file=file,
        chain=chain if isinstance(chain, str) else "",
        family=family if isinstance(family, str) else "",
        providers=len(tables(found, "providers")),
    )


def _check_assets(path: Path, assets: AssetsModel, chains: dict[str, str], reading: Reading) -> None:
    """`chains`: family by name. What only shows when assets and chains are seen together."""
    taken: dict[tuple[str, str], str] = {}
    names: dict[str, None] = {}
    for place, asset in enumerate(assets.assets):
        if asset.asset in names:
            reading.complain(path, f"assets[{place}].asset", f"{asset.asset} is listed twice")
        names[asset.asset] = None
        for number, item in enumerate(asset.representations):
            where = f"assets[{place}].representations[{number}]"
            if item.chain not in chains:
                reading.complain(path, where, f"{asset.asset} names the chain {item.chain}, which is not configured")
            elif chains[item.chain] and (item.program != "") != (
                chains[item.chain] == "solana" and item.token != NATIVE
            ):
                reading.complain(
                    path, where, "program is the token program's id for a Solana token, and empty elsewhere"
                )
            if (item.chain, item.token) in taken:
                reading.complain(path, where, f"{asset.asset} names a token of {item.chain} that is listed already")
            taken[item.chain, item.token] = asset.asset
    for chain in chains:
        if (chain, NATIVE) not in taken:
            reading.complain(path, "assets", f"the native coin of {chain} must be an asset, since fees are paid in it")
