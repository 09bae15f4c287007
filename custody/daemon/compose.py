"""The concrete parts of each chain, chosen by its configured family: the only module that names adapters."""

from __future__ import annotations

from pathlib import Path

import msgspec

from chains.evm.adapter import EvmAdapter, EvmSettings
from chains.pool.events import PoolEvents
from chains.pool.limiter import Accounts
from chains.pool.pool import Pool, open_pool
from chains.pool.settings import BreakerSettings, Metering, PoolSettings, ProviderSettings
from chains.ports import Adapter
from chains.solana.adapter import SolanaAdapter, SolanaSettings
from custody.configuration import ConfigurationError, read_secret
from custody.settings import ChainModel, Everything, ProviderModel, Survey, endpoint


class ChainParts(msgspec.Struct, frozen=True, kw_only=True):
    """One chain's settings, pool and adapter."""

    model: ChainModel
    pool: Pool
    adapter: Adapter


def open_chain(model: ChainModel, folder: Path, accounts: Accounts, events: PoolEvents | None = None) -> ChainParts:
    """Raises `ConfigurationError` for a credential that can't be read. Call on the running loop; close the pool."""
    pool = open_pool(
        model.chain,
        model.family,
        _providers(model, folder),
        settings=PoolSettings(
            breaker=BreakerSettings(
                silent_failures=model.pool.silent_failures,
                silent_seconds=model.pool.silent_seconds,
                open_seconds=model.pool.open_seconds,
                open_cap_seconds=model.pool.open_cap_seconds,
            )
        ),
        accounts=accounts,
        events=events,
    )
    return ChainParts(model=model, pool=pool, adapter=_adapter(model, pool))


def provider_faults(found: Everything | Survey, *, credentials: bool = True) -> tuple[str, ...]:
    """What is wrong with any provider's credential or URL, so that a person can mend all of it at once. Without
    `credentials`, only of URLs that stand in the files: for a machine that does not hold the others."""
    faults: list[str] = []
    for model in found.chains:
        try:
            _providers(model, found.folder, credentials=credentials)
        except ConfigurationError as exc:
            faults.extend(exc.problems)
    return tuple(faults)


def _providers(model: ChainModel, folder: Path, *, credentials: bool = True) -> list[ProviderSettings]:
    faults: list[str] = []
    found: list[ProviderSettings] = []
    taken: dict[tuple[str, ...], str] = {}
    for item in model.providers:
        if item.url_credential and not credentials:
            continue
        try:
            settings = _provider(model.chain, item, folder)
        except ConfigurationError as exc:
            faults.extend(f"{model.chain}: provider {item.name}: {problem}" for problem in exc.problems)
            continue
        found.append(settings)
        other = taken.setdefault(endpoint(settings.url), item.name)
        if other != item.name:
            faults.append(f"{model.chain}: provider {item.name}: its url is that of {other}; two voices must be two")
    if faults:
        raise ConfigurationError(tuple(faults))
    return found


def _provider(chain: str, item: ProviderModel, folder: Path) -> ProviderSettings:
    """An endpoint without a named account is metered alone, also where two chains have the same host behind them."""
    secret = read_secret(item.url_credential, folder) if item.url_credential else item.url.encode()
    try:
        return ProviderSettings(
            name=item.name,
            url=secret.decode("ascii"),
            account=item.account or f"{chain}/{item.name}",
            vendor=item.vendor,
            requests_per_second=item.requests_per_second,
            metering=Metering(windows=item.windows, costs=item.costs, method_rates=item.method_rates),
            concurrency=item.concurrency,
            timeout_seconds=item.timeout_seconds,
        )
    except ValueError:
        # What it says may repeat a part of the URL, and the URL may hold a key.
        raise ConfigurationError(("its url must be http(s)://host… in ASCII",)) from None


def _adapter(model: ChainModel, pool: Pool) -> Adapter:
    if model.evm is not None:
        return EvmAdapter(
            EvmSettings(
                chain=model.chain,
                chain_id=int(model.identity),
                max_fee=int(model.evm.max_fee),
                max_tip=int(model.evm.max_tip),
                max_gas=model.evm.max_gas,
                traces=model.evm.traces,
                contracts=model.evm.contracts,
                quorum=model.believed,
            ),
            pool,
        )
    assert model.solana is not None, "the settings have one family's table"
    return SolanaAdapter(
        SolanaSettings(
            chain=model.chain,
            genesis_hash=model.identity,
            price_floor=model.solana.price_floor,
            price_cap=model.solana.price_cap,
            price_percentile=model.solana.price_percentile,
            quorum=model.believed,
        ),
        pool,
    )
