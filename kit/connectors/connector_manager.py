"""All connectors of one core: made, handed back, replaced, removed."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, get_args

from kit.config import find_credentials, missing_credentials
from kit.connectors.ccxt_exchange import CcxtExchange
from kit.connectors.client_order_ids import ClientOrderIds
from kit.connectors.connector import Connector, Mode
from kit.connectors.pairs import normalize_pair
from kit.connectors.paper_exchange import PaperExchange
from kit.connectors.paper_settings import PaperSettings
from kit.core.affinity import LoopAffinity
from kit.core.clock import SYSTEM_TIME, TimeSource
from kit.core.naming import did_you_mean
from kit.core.tasks import TaskSupervisor
from kit.errors import InvalidInput, NotReady, NotSupported
from kit.market.order_book import OrderBook
from kit.types.ports import Credentials, Endpoint

logger = logging.getLogger(__name__)

MODES: Final = get_args(Mode)


@dataclass(frozen=True)
class ConnectorConfig:
    """What a connector was asked to be; two equal configurations mean the same connector.

    One on paper keeps the credentials that it was given, for the day it goes live.
    """

    exchange_id: str
    mode: Mode
    url: str | None
    credentials: Credentials | None
    paper: PaperSettings | None = None


def configure(
    exchange_id: str,
    mode: Mode,
    endpoint: Endpoint | None,
    credentials: Credentials | None,
    paper: Mapping[str, Any] | None = None,
) -> ConnectorConfig:
    """Check a request for a connector; raises ``InvalidInput`` or ``MissingCredentials``.

    ``paper`` is what only a paper account takes, ``None`` where it was not given. Without credentials and endpoint, a
    live connector takes those that the user stored (``kit.config``).
    """
    if mode not in MODES:
        raise InvalidInput(f"mode is {mode!r}; it must be one of {', '.join(map(repr, MODES))}")
    given = {name: value for name, value in (paper or {}).items() if value is not None}
    if given and mode != "paper":
        raise InvalidInput(
            f"{', '.join(given)} belong to mode 'paper', but mode is {mode!r}; drop them or ask for paper"
        )
    if endpoint is not None and not isinstance(endpoint, Endpoint):
        raise InvalidInput(f"endpoint is {endpoint!r}; give a started testnet, or any object with url and credentials")
    if credentials is None and endpoint is not None:
        credentials = endpoint.credentials
    if mode == "live" and credentials is None:
        # An endpoint stands in for the exchange: the real account's key has no business there.
        credentials = find_credentials(exchange_id) if endpoint is None else None
        if credentials is None:
            raise missing_credentials(exchange_id, at_endpoint=endpoint is not None)
    return ConnectorConfig(
        exchange_id,
        mode,
        endpoint.url if endpoint else None,
        None if mode == "data" else credentials,
        PaperSettings.checked(**given) if mode == "paper" else None,
    )


class ConnectorManager:
    """Holds the connectors of one core by name."""

    def __init__(
        self, core_name: str, *, time_source: TimeSource = SYSTEM_TIME, rng: random.Random | None = None
    ) -> None:
        self._time_source = time_source
        self._supervisor = TaskSupervisor(core_name)
        self._affinity = LoopAffinity(None)
        self.ids = ClientOrderIds(core_name, time_source=time_source, rng=rng)
        self._connectors: dict[str, Connector] = {}
        self._configs: dict[str, ConnectorConfig] = {}
        self._endpoints: dict[str, Endpoint | None] = {}
        self._papers: dict[str, PaperExchange] = {}
        self.before_removal: Callable[[Connector], None] = lambda _: None

    def abandon(self) -> list[str]:
        """Forget every connector without a word to its exchange, as their loop is gone; return the ids in flight."""
        left = [order_id for connector in self._connectors.values() for order_id in connector.in_flight_orders]
        self._connectors.clear()
        self._configs.clear()
        return left

    def bind(self, supervisor: TaskSupervisor, affinity: LoopAffinity) -> None:
        """Say who owns the tasks of connectors made from now on, and on which loop they live."""
        self._supervisor = supervisor
        self._affinity = affinity

    @property
    def connectors(self) -> Mapping[str, Connector]:
        """Return the connectors by name."""
        return dict(self._connectors)

    async def add_connector(
        self,
        exchange_id: str,
        trading_pairs: Sequence[str],
        *,
        mode: Mode = "data",
        endpoint: Endpoint | None = None,
        credentials: Credentials | None = None,
        name: str | None = None,
        timeout: float = 30.0,
        paper: Mapping[str, Any] | None = None,
    ) -> Connector:
        """Return a ready connector: the one that runs under this name if it is the same, else a new one.

        The same configuration with other pairs keeps the connector and changes its pairs; a key that was refused is
        tried again. Another configuration ends the old connector first, with its orders cancelled, and says so in the
        log; where the exchange does not confirm the cancels, the old one stays and ``NotReady`` is raised.
        """
        pairs = _checked_pairs(trading_pairs)
        name = name or exchange_id
        config = configure(exchange_id, mode, endpoint, credentials, paper)
        existing = self._connectors.get(name)
        if existing is not None and self._configs[name] == config:
            await self._set_pairs(existing, pairs)
            await existing.retry_trading()
            await existing.wait_ready(timeout)
            return existing
        connector = await self._in_place_of(existing, name, config, pairs, endpoint)
        self._connectors[name], self._configs[name] = connector, config
        self._endpoints[name] = endpoint
        connector.open()
        try:
            await connector.wait_ready(timeout)
        except BaseException:
            await self.remove_connector(name)
            raise
        return connector

    def adopt(self, connector: Connector) -> None:
        """Hold a connector that somebody else made and opened; raises ``InvalidInput`` where its name is taken."""
        if connector.name in self._connectors:
            raise InvalidInput(f"a connector named {connector.name!r} is here already; give the new one another name")
        self._connectors[connector.name] = connector
        self._configs[connector.name] = ConnectorConfig(connector.name, connector.mode, None, None)

    async def _in_place_of(
        self,
        existing: Connector | None,
        name: str,
        config: ConnectorConfig,
        pairs: Sequence[str],
        endpoint: Endpoint | None,
    ) -> Connector:
        """Make a connector, and end the one that has its name; that one stays as it was where this does not succeed."""
        paper = self._papers.get(name)
        try:
            connector = await self._build(name, config, pairs, endpoint)
            if existing is not None:
                await self._make_way(name, existing)
        except BaseException:
            if existing is not None and paper is not None and self._connectors.get(name) is existing:
                self._papers[name] = paper
            raise
        return connector

    async def _make_way(self, name: str, existing: Connector) -> None:
        logger.warning("%s is replaced: asked for another configuration than the running one", name)
        self.before_removal(existing)
        try:
            left = await existing.sweep()
        except BaseException:
            existing.reopen()
            raise
        if left:
            existing.reopen()
            raise NotReady(
                f"{name} is not replaced: the exchange has not confirmed the cancels of {', '.join(left)}; try again"
            )
        await self.remove_connector(name)

    async def _build(
        self, name: str, config: ConnectorConfig, pairs: Sequence[str], endpoint: Endpoint | None
    ) -> Connector:
        market = CcxtExchange(
            config.exchange_id,
            self._supervisor,
            credentials=config.credentials if config.mode == "live" else None,
            endpoint=endpoint,
            time_source=self._time_source,
            trading=config.mode == "live",
        )
        exchange: CcxtExchange | PaperExchange = market
        self._papers.pop(name, None)
        if config.paper is not None:
            exchange = await self._on_paper(market, config.paper, config.exchange_id)
        trading = config.mode != "data"
        return Connector(
            name,
            self._with_paper_asleep(name, market, config) if config.mode == "live" else exchange,
            pairs,
            supervisor=self._supervisor,
            ids=self.ids,
            account=exchange if trading else None,
            orders=exchange if trading else None,
            mode=config.mode,
            time_source=self._time_source,
            affinity=self._affinity,
        )

    def _with_paper_asleep(self, name: str, market: CcxtExchange, config: ConnectorConfig) -> PaperExchange:
        """Return a live connector's market data with a paper account behind, which costs nothing until it wakes."""
        said = f"{config.exchange_id} on paper"
        paper = PaperExchange(market, PaperSettings.checked(), name=said, time_source=self._time_source, asleep=True)
        self._papers[name] = paper
        return paper

    async def paper_port(self, name: str) -> PaperExchange:
        """Return the paper account on a live connector's market data, awake; raises ``NotSupported`` without one."""
        paper = self._papers.get(name)
        if paper is None:
            raise NotSupported(f"{name} has no paper account; switch off with: await core.go_off()")
        await paper.wake()
        return paper

    async def _on_paper(self, market: CcxtExchange, settings: PaperSettings, exchange_id: str) -> PaperExchange:
        paper = PaperExchange(market, settings, name=f"{exchange_id} on paper", time_source=self._time_source)
        try:
            await paper.prepare()
        except BaseException:
            await paper.close()
            raise
        return paper

    async def live_config(self, name: str) -> ConnectorConfig:
        """Return how a connector trades live, with its credentials: given, the endpoint's, or those the user stored.

        Raises ``MissingCredentials`` telling how to give some.
        """
        config, endpoint = self._configs[name], self._endpoints.get(name)
        credentials = config.credentials
        if credentials is None and endpoint is None:
            credentials = await asyncio.to_thread(find_credentials, config.exchange_id)
        if credentials is None:
            raise missing_credentials(config.exchange_id, at_endpoint=endpoint is not None)
        return replace(config, mode="live", credentials=credentials, paper=None)

    def live_port(self, name: str, config: ConnectorConfig) -> CcxtExchange:
        """Return another connection to a connector's exchange, which trades; whoever asks closes it."""
        return CcxtExchange(
            config.exchange_id,
            self._supervisor,
            credentials=config.credentials,
            endpoint=self._endpoints.get(name),
            time_source=self._time_source,
            trading=True,
        )

    def exchange_of(self, name: str) -> str:
        """Return ccxt's id of a connector's exchange."""
        return self._configs[name].exchange_id

    @staticmethod
    async def _set_pairs(connector: Connector, pairs: Sequence[str]) -> None:
        for pair in pairs:
            await connector.add_trading_pair(pair)
        for pair in connector.trading_pairs:
            if pair not in pairs:
                await connector.remove_trading_pair(pair)

    def endpoint_of(self, name: str) -> str | None:
        """Return the address that a connector was given instead of its exchange's own, ``None`` where it has none."""
        config = self._configs.get(name)
        return None if config is None else config.url

    async def remove_connector(self, name: str, timeout: float = 10.0) -> list[str]:
        """End a connector: cancel its orders, close its streams; return the ids of orders left open."""
        connector = self.get_connector(name)
        self.before_removal(connector)
        try:
            return await connector.sweep(timeout)
        finally:  # also when the caller lost patience: streams and tasks end in any case
            await connector.close()
            if self._connectors.get(name) is connector:
                del self._connectors[name], self._configs[name]

    def get_connector(self, name: str) -> Connector:
        """Return a connector by name; raises ``InvalidInput`` naming those there are."""
        if name not in self._connectors:
            there = ", ".join(self._connectors) or "none; add one with: await core.add_connector(…)"
            raise InvalidInput(
                f"no connector is named {name!r}{did_you_mean(name, self._connectors)}; there are {there}"
            )
        return self._connectors[name]

    async def add_trading_pairs(self, name: str, trading_pairs: Sequence[str]) -> None:
        """Stream more pairs on a running connector, which stays the same object."""
        connector = self.get_connector(name)
        for pair in _checked_pairs(trading_pairs):
            await connector.add_trading_pair(pair)

    def get_order_book(self, name: str, trading_pair: str) -> OrderBook:
        """Return a live book."""
        return self.get_connector(name).get_order_book(trading_pair)

    def get_balance(self, name: str, asset: str) -> Decimal:
        """Return the account's total of an asset."""
        return self.get_connector(name).get_balance(asset)

    def get_all_balances(self, name: str) -> dict[str, Decimal]:
        """Return the totals of all assets of an account."""
        balances = self.get_connector(name).balances
        return {asset: balances.total(asset) for asset in balances.assets}

    def get_status(self) -> dict[str, dict[str, object]]:
        """Return every connector's status by name."""
        return {name: connector.status for name, connector in self._connectors.items()}

    def __repr__(self) -> str:
        return f"<ConnectorManager: {', '.join(self._connectors) or 'no connectors'}>"


def _checked_pairs(trading_pairs: Sequence[str]) -> list[str]:
    if isinstance(trading_pairs, str):
        raise InvalidInput(f"trading_pairs is the text {trading_pairs!r}; give a list, as in [{trading_pairs!r}]")
    pairs = list(dict.fromkeys(normalize_pair(pair) for pair in trading_pairs))
    if not pairs:
        raise InvalidInput("trading_pairs is empty; name at least one pair, as in ['BTC/USDT']")
    return pairs
