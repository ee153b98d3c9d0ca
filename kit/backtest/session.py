"""One backtest, put together: venues, connectors, the core and its clock, the replay that drives them, the record."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NoReturn

from kit.backtest.data import MarketData
from kit.backtest.fill_mids import fill_in_mids
from kit.backtest.moments import moment
from kit.backtest.plan import Plan, check_affordable, first_price
from kit.backtest.recorder import AccountRecorder, RecordedOrders
from kit.backtest.replay import Replay, ReplayedPair
from kit.backtest.run_record import Account, BacktestRun, Market
from kit.backtest.silences import silence_note
from kit.connectors.connector import Connector
from kit.connectors.replay_exchange import ReplayBooks, ReplayExchange, ReplayTime
from kit.core.clock import SYSTEM_TIME, Clock, ClockMode
from kit.core.tasks import TaskSupervisor
from kit.errors import BacktestError, InvalidInput, InvariantBroken, StrategyError
from kit.simulation.models import describe, find_model, of_exchange
from kit.simulation.timeline import Timeline
from kit.simulation.venue import SimulatedVenue
from kit.strategy.strategy_base import StrategyBase
from kit.trading_core import TradingCore

logger = logging.getLogger(__name__)

CORE_NAME: Final = "backtest"

SLICE: Final = 0.03
"""Seconds of work between two looks at the outside world: the progress bar, other tasks, an interrupt."""


class Session:
    """Runs one plan. ``models`` are ``queue``, ``latency`` and ``exchange``, each maybe ``None`` or by exchange."""

    def __init__(self, plan: Plan, strategy: Any, models: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        self._plan = plan
        self._models = models
        self._failure: BacktestError | None = None
        self._time = ReplayTime()
        self._timeline = Timeline(on_time=self._time.set)
        clock = Clock(ClockMode.BACKTEST, plan.tick_size, plan.start, plan.end, time_source=self._time)
        clock.on_child_error = self._child_failed
        self._core = TradingCore(CORE_NAME, clock=clock, time_source=self._time, seed=plan.seed, tables=False)
        self._pairs: list[ReplayedPair] = []
        self._ports: dict[str, RecordedOrders] = {}
        self._venues: list[SimulatedVenue] = []
        self._connectors = {name: self._connect(name) for name in plan.exchanges}
        self._strategy = self._make_strategy(strategy, parameters)
        self.run = self._begin_record()
        self._assemble()

    # -- putting together ------------------------------------------------------------------------------------------

    def _connect(self, exchange: str) -> Connector:
        plan, markets = self._plan, self._plan.of(exchange)
        rules = {market.trading_pair: market.rule for market in markets}
        models = {role: find_model(role, of_exchange(given, exchange)) for role, given in self._models.items()}
        venue = SimulatedVenue(rules, plan.balances[exchange], timeline=self._timeline, name=exchange, **models)
        self._venues.append(venue)
        books = []
        for market in markets:
            pair = ReplayedPair(market.trading_pair, venue.load(market.trading_pair, market.feed))
            self._pairs.append(pair)
            books.append(pair.book)
        replayed = ReplayBooks(books)
        self._ports[exchange] = RecordedOrders(venue, self._time)
        connector = Connector(
            exchange,
            ReplayExchange(rules, replayed, self._time),
            list(rules),
            supervisor=TaskSupervisor(CORE_NAME),
            ids=self._core.connector_manager.ids,
            account=venue,
            orders=self._ports[exchange],
            mode="paper",
            time_source=self._time,
            books=replayed,
        )
        connector.pubsub.on_error = self._listener_failed
        return connector

    def _make_strategy(self, given: Any, parameters: Mapping[str, Any]) -> StrategyBase:
        for connector in self._connectors.values():
            connector.open_at_once()
        if isinstance(given, StrategyBase):
            raise InvalidInput(
                f"{given!r} is a strategy that has a market already; give its class and its parameters, or a function "
                "(markets) -> strategy"
            )
        if isinstance(given, type) and issubclass(given, StrategyBase):
            strategy: Any = self._instance(given, parameters)
        elif callable(given):
            strategy = given(dict(self._connectors), **parameters)
        else:
            strategy = None
        if inspect.iscoroutine(strategy):
            strategy.close()
        if not isinstance(strategy, StrategyBase):
            made = (
                "nothing" if strategy is None else f"a {type(strategy).__name__}"
            )  # whose repr may need what it lacks
            raise InvalidInput(
                f"strategy is {given!r}, which gives {made}; give a class derived from kit.Strategy, or a "
                "function (markets: dict of connectors by exchange) -> strategy"
            )
        self._check_money(strategy)
        return strategy

    def _instance(self, kind: type[StrategyBase], parameters: Mapping[str, Any]) -> StrategyBase:
        plan, values = self._plan, dict(parameters)
        pair = values.pop("trading_pair", None)
        if len(plan.exchanges) > 1 or (pair is None and len(plan.markets) > 1):
            raise InvalidInput(
                f"the data hold {', '.join(map(str, plan.markets))}: say what {kind.__name__} trades, with "
                f"trading_pair={plan.markets[0].trading_pair!r} (one exchange), or with a function that takes the "
                f"connectors by exchange: lambda markets: {kind.__name__}(markets[{plan.exchanges[0]!r}], …)"
            )
        (market,) = self._connectors.values()
        return kind(market, pair or plan.markets[0].trading_pair, **values)

    def _check_money(self, strategy: StrategyBase) -> None:
        amount = getattr(strategy.params.model, "order_amount", None)
        if not isinstance(amount, Decimal) or len(self._plan.markets) > 1:
            return
        (market,) = self._plan.markets
        money = self._plan.balances[market.exchange]
        check_affordable(market.exchange, market.rule, money, first_price(market.feed), amount)

    def _begin_record(self) -> BacktestRun:
        plan = self._plan
        accounts = [Account(name, asset) for name in plan.exchanges for asset in plan.balances[name]]
        params = self._strategy.params.model.values()
        return BacktestRun(
            strategy=self._strategy.name,
            markets=[Market(market.exchange, market.trading_pair, market.rule) for market in plan.markets],
            accounts=accounts,
            initial_balances={account: plan.balances[account.connector][account.asset] for account in accounts},
            assumptions=assumptions(plan, self._venues),
            parameters={name: str(value) for name, value in params.items()},
            data_id="; ".join(data_id(market, plan) for market in plan.markets),
            tick_size=plan.tick_size,
            started=plan.start,
            ended=plan.end,
            notes=[note for market in plan.markets if (note := _silence(market, plan))],
        )

    def _assemble(self) -> None:
        balances = [0.0] * len(self.run.accounts)
        self._recorders = [AccountRecorder(connector, self.run, balances) for connector in self._connectors.values()]
        self.replay = Replay(
            self._timeline,
            self._time,
            self._pairs,
            list(self._connectors.values()),
            self.run.samples,
            balances,
            self._raise_failure,
        )
        core = self._core
        core.drivers = (self.replay,)
        for name, connector in self._connectors.items():
            self._ports[name].record(connector, self.run)
            core.adopt(connector)
        core.strategy = self._strategy
        self._strategy.health.on_failed_tick = self._tick_failed

    # -- running ---------------------------------------------------------------------------------------------------

    @property
    def ticks(self) -> int:
        """Return how many ticks there are from start to end, at most."""
        return int((self._plan.end - self._plan.start) / self._plan.tick_size) + 1

    def steps(self) -> Iterator[int]:
        """Run to the end, a few hundredths of a second of work at a time; yields how many ticks are done."""
        plan, count, begun = self._plan, 16, SYSTEM_TIME.monotonic()
        while self.run.ended == plan.end:
            last = self.replay.ticks
            until = min(plan.start + (last + count) * plan.tick_size, plan.end)
            self._core.backtest_til(until)
            self._raise_failure()
            now = SYSTEM_TIME.monotonic()
            # Only how often others get their turn depends on this, nothing that happens in the replay.
            count = max(1, min(count * 4, int(count * SLICE / max(now - begun, 1e-9))))
            begun = now
            if until >= plan.end:
                break
            if not self._core.running:  # a StopIteration: the strategy had enough
                self.run.ended = self._core.clock.current_timestamp
                self.run.notes.append("the strategy ended the run by StopIteration")
            yield self.replay.ticks
            begun = SYSTEM_TIME.monotonic()
        self._finish()
        yield self.replay.ticks

    def _finish(self) -> None:
        run, plan = self.run, self._plan
        run.counts |= {"ticks": float(self.replay.ticks), "events": float(sum(len(m.feed) for m in plan.markets))}
        run.counts["orders"] = float(len(run.orders))
        run.final_balances = {
            account: self._connectors[account.connector].get_balance(account.asset) for account in run.accounts
        }
        fill_in_mids(run, {(market.exchange, market.trading_pair): market.feed for market in plan.markets})
        if left := sum(order.is_open for _, order in run.orders):
            run.notes.append(f"Orders open at the end: {left}; they stay as they are.")

    def close(self) -> None:
        """Let go of everything, whatever came before; the record stays."""
        try:
            self._core.clock.stop_backtest()
        finally:
            for connector in self._connectors.values():
                self._core.connector_manager.abandon()
                connector.pubsub.on_error = None

    # -- failing ---------------------------------------------------------------------------------------------------

    def _listener_failed(self, tag: Any, listener: Any, error: Exception) -> None:  # noqa: ARG002
        self._failure = self._failure or self._error(f"on {tag.name}", error)

    def _child_failed(self, child: Any, error: Exception, timestamp: float) -> NoReturn:  # noqa: ARG002
        if isinstance(error, InvariantBroken):  # a defect of the kit's own, not the strategy's
            raise error
        self._failure = self._failure or self._error(f"in {getattr(child, 'name', child)}", error)
        raise self._failure from self._failure.__cause__

    def _tick_failed(self, error: StrategyError) -> None:
        self._failure = self._failure or self._error("", error.__cause__ or error)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure from self._failure.__cause__

    def _error(self, where: str, error: BaseException) -> BacktestError:
        if isinstance(error, BacktestError):
            return error
        pairs = tuple(market.trading_pair for market in self._plan.markets)
        failure = BacktestError(
            f"{self._strategy.name} on {', '.join(pairs)} threw {type(error).__name__} at {moment(self._time.ns)} UTC "
            f"({self._time.time():.6f}){' ' + where if where else ''}: {error}",
            self._time.time(),
            pairs,
        )
        failure.__cause__ = error
        return failure


def _silence(market: MarketData, plan: Plan) -> str:
    # Candles are made up: one that is missing says that nothing was traded.
    return "" if market.assumption else silence_note(str(market), market.feed, plan.start, plan.end)


def data_id(market: MarketData, plan: Plan) -> str:
    """Return what names a market's data: whose, how many events, which span."""
    first, last = market.span
    return f"{market}: {market.source}, {len(market.feed)} events {first}..{last} ns, run {plan.start}..{plan.end} s"


def assumptions(plan: Plan, venues: Sequence[SimulatedVenue]) -> dict[str, str]:
    """Return what the result rests on, worded for its reader."""
    engines = {venue.name: next(iter(venue.engines.values())) for venue in venues}
    told = {
        "data": "; ".join(f"{market} from {market.source}, {len(market.feed):,} events" for market in plan.markets),
        "queue": by_exchange({name: describe(engine.queue) for name, engine in engines.items()}),
        "latency": by_exchange({venue.name: describe(venue.latency) for venue in venues}),
        "exchange": by_exchange({name: describe(engine.exchange) for name, engine in engines.items()}),
        "own orders": "the market does not react to them; behind all recorded levels they come last in their queue"
        + (
            "; what they took of a level is gone until its amount changes"
            if all(engine.exchange.partial for engine in engines.values())
            else ""
        ),
        "fees": "; ".join(fees_of(market) for market in plan.markets),
        "clock": f"ticks of {plan.tick_size:g} s; nothing is seen before its local time",
    }
    if candles := {market.assumption for market in plan.markets if market.assumption}:
        told["candles"] = (
            f"{'; '.join(sorted(candles))}; low before high where a candle rises, high before low where it falls, with "
            "no way in between twice; an order that lies inside the range fills whole: keep amounts small against the "
            "candles' volume"
        )
    if plan.balances_assumed:
        money = ", ".join(
            f"{amount.normalize():f} {asset} on {name}"
            for name, account in plan.balances.items()
            for asset, amount in account.items()
        )
        told["balances"] = f"none were given; assumed {money}"
    return told


def fees_of(market: MarketData) -> str:
    """Return what a pair costs, in words."""
    return f"{market}: maker {market.rule.maker_fee * 100:f} %, taker {market.rule.taker_fee * 100:f} %"


def by_exchange(told: Mapping[str, str]) -> str:
    """Return what holds for every exchange once, what differs by name."""
    if len(set(told.values())) == 1:
        return next(iter(told.values()))
    return "; ".join(f"{name}: {text}" for name, text in told.items())
