"""The core: composes clock, connectors and strategy, starts and stops them, and shows what they did."""

from __future__ import annotations

import asyncio
import importlib
import logging
import random
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from kit.connectors.connector import Connector, Mode
from kit.connectors.connector_manager import ConnectorConfig, ConnectorManager, configure
from kit.connectors.live_recordings import LiveRecordings
from kit.core.affinity import LoopAffinity
from kit.core.clock import SYSTEM_TIME, Clock, ClockMode, TimeSource
from kit.core.error_list import ErrorList
from kit.core.tasks import TaskSupervisor
from kit.core.time_iterator import TimeIterator
from kit.errors import AuthenticationFailed, InvalidInput, NotReady, StrategyError
from kit.guard.guard import STALL_LIMIT, Guard
from kit.guard.guarding import Guarding
from kit.orders.session_log import SessionLog
from kit.strategy.session_recorder import SessionRecording
from kit.strategy.strategy_base import StrategyBase
from kit.trading.core_loop import CoreLoop, LoopKind, checked_kind
from kit.trading.instance import CoreInstance
from kit.trading.log_book import LogBook
from kit.trading.log_feed import CoreLog
from kit.trading.pnl_history import PnlHistory
from kit.trading.predecessor import Predecessor, differences
from kit.trading.red_button import RedButton
from kit.trading.swap import OrdersChoice, StrategySwap, SwappedOrders, checked_choice, checked_strategy
from kit.trading.switch import LiveSwitch
from kit.trading.switch_commands import SwitchCommands
from kit.trading.tables import CoreTables, current_marks
from kit.trading.views import CoreViews
from kit.trading.watching import ReadOnly
from kit.types.drawn import Drawn, warm
from kit.types.ports import Credentials, Endpoint

if TYPE_CHECKING:
    import pandas as pd

    from kit.storage.recorder import Recorder

logger = logging.getLogger(__name__)

MAX_STRATEGY_ERRORS: Final = 3
"""Ticks in a row in which a strategy may throw before it is paused and its orders are cancelled."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StopReport(Drawn):
    """What ``stop()`` left behind: client order ids by connector that may still be open, and tasks that did not end."""

    orders_left: dict[str, list[str]]
    tasks_left: list[str]

    @property
    def clean(self) -> bool:
        """Tell whether nothing was left."""
        return not any(self.orders_left.values()) and not self.tasks_left


class TradingCore(SwitchCommands, CoreViews, CoreTables):
    """Runs connectors and one strategy on a clock, on the event loop of whoever first awaits it.

    ``TradingCore(name)`` hands back the core of that name while it is in use (it has connectors or runs), so that a
    notebook cell can be run again. Asked for otherwise (``loop``, ``tick_size``, ``guard``, ``stall_limit``; what is
    not given is as it is), a new core takes its place: the old one is stopped from that moment on, its orders
    cancelled, and the first thing awaited on the new one waits until that is done; both logs say so. Where orders may
    be left it raises ``NotReady``, once: whoever runs the cell again takes them over. ``TradingCore.all()`` are those
    in use.

    ``tick_size`` is in seconds (default 1). ``tables`` loads pandas while connecting, because its import would stall
    the loop for seconds when a cell first shows a table; headless runs do without. ``loop="thread"`` gives the core a
    loop in a thread of its own, from its first await to ``stop()``, so that a cell that blocks makes no tick late
    (unless one C call holds the interpreter's lock); the default, "kernel", is the loop that runs the cells.
    Coroutines, tables and controls are the same from any loop and thread; they hop to the core's own, where hooks and
    listeners run.

    ``log`` is what it has to say, with what hooks print; ``errors`` are the failures of its tasks, hooks and panels.

    The name marks the core's orders on the exchange, also after a restart: run cores that share an account under
    different names, as each treats the open orders of its name as its own.

    With the first live connector a ``guard`` is started: a process that cancels this core's open orders when its loop
    stands still for ``stall_limit`` seconds (default 10, at least 0.5), when this process ends without ``stop()``, or
    on ``core.guard.cancel_now()``. ``guard=False`` goes without.

    With a ``clock`` in BACKTEST mode the core needs no loop, and no name hands it back: it takes connectors by
    ``adopt`` and runs by ``backtest_til``; ``seed`` makes its order ids repeatable. ``drivers``, to be set before
    anything is added, are ticked before the connectors.
    """

    _cores: ClassVar[dict[str, TradingCore]] = {}
    _initialised: bool
    clock: Clock

    def __new__(cls, name: str = "main", *, clock: Clock | None = None, **asked: Any) -> TradingCore:
        """Return the core of that name where it is in use and as asked for, else a new one."""
        existing = cls._cores.get(name)
        if clock is None and existing is not None and existing.in_use and not differences(existing, asked):
            return existing
        core = super().__new__(cls)
        core._initialised = False
        return core

    def __init__(
        self,
        name: str = "main",
        *,
        tick_size: float | None = None,
        tables: bool = True,
        time_source: TimeSource = SYSTEM_TIME,
        clock: Clock | None = None,
        seed: int | None = None,
        guard: bool = True,
        stall_limit: float | None = None,
        loop: LoopKind | None = None,
    ) -> None:
        if self._initialised:
            return
        self._initialised = True
        self.name = name
        self._core_loop = CoreLoop(checked_kind(loop or "kernel"), name)
        self._tables = tables
        self._time_source = time_source
        self.clock = clock or Clock(
            ClockMode.REALTIME, 1.0 if tick_size is None else tick_size, time_source=time_source
        )
        self.drivers: tuple[TimeIterator, ...] = ()
        self.log = LogBook(time_source.time)
        self.errors = ErrorList(time_source.time)
        self._core_log = CoreLog(self.log, self.errors)
        if self.clock.mode is ClockMode.REALTIME:
            self._core_log.listen()
            self._core_log.watch(self.clock)
        self.supervisor = TaskSupervisor(name)
        self.affinity = LoopAffinity(None, errors=self.errors)
        rng = None if seed is None else random.Random(seed)
        self.connector_manager = ConnectorManager(name, time_source=time_source, rng=rng)
        self.connector_manager.before_removal = self._let_go
        guarded = guard and self.clock.mode is ClockMode.REALTIME
        self.guarding = Guarding(
            Guard(name, self.connector_manager.ids, stall_limit=stall_limit or STALL_LIMIT, time_source=time_source)
            if guarded
            else None,
            lambda: self.connectors,
            self._halt,
            time_source,
        )
        self.session_logs: dict[str, SessionLog] = {}
        self._logs: list[SessionLog] = []
        self.history = PnlHistory(lambda: self.connectors, lambda: self._logs)
        self._strategy: StrategyBase | None = None
        self._swap = StrategySwap()
        self._session: SessionRecording | None = None
        self._recordings = LiveRecordings(time_source)
        self._clock_task: asyncio.Task[None] | None = None
        self._adding: asyncio.Task[Connector] | None = None
        self._marks: dict[tuple[str, str], Decimal] = {}
        self._lock = asyncio.Lock()
        self.switch = LiveSwitch(self, time_source)
        self.guarding.heard = lambda report: self.switch.disarm(f"the guard acted: {report}")
        if self.guard is not None:
            self.guard.on_lost = self._end_live
        self.red_button = RedButton(self, self._halt, time_source)
        self._instance = CoreInstance(self, time_source)
        self._predecessor: Predecessor | None = None
        if clock is None:
            self._take_the_name()

    @classmethod
    def all(cls) -> tuple[TradingCore, ...]:
        """Return the cores of this process that are in use, each the one that its name hands back."""
        return tuple(core for core in tuple(cls._cores.values()) if core.in_use)

    def _take_the_name(self) -> None:
        existing = self._cores.get(self.name)
        if existing is not None and existing.in_use:
            self._predecessor = Predecessor(existing, differences(existing, self.configuration))
        self._cores[self.name] = self

    @property
    def configuration(self) -> dict[str, object]:
        """Return what makes it another core when it is asked for otherwise; ``None`` is what it goes without."""
        guard = self.guard
        return {
            "loop": self._core_loop.kind,
            "tick_size": self.clock.tick_size,
            "guard": guard is not None,
            "stall_limit": None if guard is None else guard.stall_limit,
        }

    # -- life ------------------------------------------------------------------------------------------------------

    @property
    def in_use(self) -> bool:
        """Tell whether the core has connectors, runs, or is about to take the place of one that does."""
        return bool(self.connector_manager.connectors) or self.running or self._predecessor is not None

    @property
    def running(self) -> bool:
        """Tell whether the clock ticks."""
        if self.clock.mode is ClockMode.BACKTEST:
            return self.clock.running
        return self._clock_task is not None and not self._clock_task.done()

    @property
    def read_only(self) -> ReadOnly | None:
        """Return who runs this core where another process of the user does, else ``None``.

        One process at a time runs the core of a name. In any other its connectors are views, mode "data", that show
        the running core's orders and balances, and no strategy acts. Once that one has stopped or ended, running the
        cell with ``add_connector`` again takes over.
        """
        return self._instance.read_only

    @property
    def changing(self) -> asyncio.Lock:
        """Return what is held while connectors come and go and the trading state changes."""
        return self._lock

    async def _on_own_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            await self._settle()
        except BaseException:
            coroutine.close()
            raise
        return await self._core_log.run(self.affinity.run(coroutine))

    async def _settle(self) -> None:
        if self._predecessor is not None:
            await self._outlive(self._predecessor)
        self._settle_now()

    async def _outlive(self, predecessor: Predecessor) -> None:
        try:
            await predecessor.gone()
        except asyncio.CancelledError:  # it goes on stopping, and the next call waits for it
            raise
        except BaseException:
            self._predecessor = None
            raise
        self._predecessor = None

    def _settle_now(self) -> None:
        with self._core_loop.changing:
            loop = self.affinity.loop
            if loop is None or not loop.is_running():
                self._settle_on(self._core_loop.find())

    def _settle_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self.switch.abandoned()
        self.guarding.abandon()
        if left := self.connector_manager.abandon():
            logger.error("core %s: its event loop ended without stop(); orders that may be open: %s", self.name, left)
        self._clock_task = None
        self._lock = asyncio.Lock()
        self.supervisor = TaskSupervisor(self.name)
        self._sync_clock()
        self._live_on(loop)

    def _live_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.affinity = LoopAffinity(loop, errors=self.errors)
        self.connector_manager.bind(self.supervisor, self.affinity)
        if self._strategy is not None:
            self._strategy.live_on(self.affinity)

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
        balances: Mapping[str, object] | None = None,
        latency: Any = None,
        queue: Any = None,
        exchange: Any = None,
        fees: Any = None,
    ) -> Connector:
        """Connect to an exchange and return once books, rules and, where the mode trades, the account are ready.

        ``exchange_id`` is ccxt's; ``mode`` "data" streams public data only, "live" trades, "paper" trades the live
        market with an account that exists only here. Asking again with the same configuration hands back the running
        connector, a paper account with its money and orders. Paper alone takes ``balances``, amounts by asset
        (default: 10,000 of each pair's quote asset and nothing else), and the models of ``kit.simulation``: ``latency``
        (seconds for each way, or a model; default 50 ms), ``queue`` (``LogProb2()``), ``exchange`` (``PartialFill()``),
        ``fees`` (those of the trading rules). The connector's status names them. Raises ``InvalidInput`` for balances
        that are no amounts or of assets that the exchange does not trade, ``UnknownExchange``, ``UnknownPair``,
        ``MissingCredentials`` or, after ``timeout`` seconds, ``NotReady`` with what is missing; ``NotReady`` also when
        a live connector's guard process does not start. A refused key does not raise: market data goes on,
        ``trading_refused`` says why, and orders raise ``AuthenticationFailed``.
        """
        return await self._on_own_loop(
            self._add_connector(
                exchange_id,
                trading_pairs,
                mode=mode,
                endpoint=endpoint,
                credentials=credentials,
                name=name,
                timeout=timeout,
                paper={"balances": balances, "latency": latency, "queue": queue, "exchange": exchange, "fees": fees},
            )
        )

    async def _add_connector(self, exchange_id: str, trading_pairs: Sequence[str], **options: Any) -> Connector:
        asked = configure(exchange_id, options["mode"], options["endpoint"], options["credentials"], options["paper"])
        async with self._lock:
            try:
                connector, fresh = await self._bring_up(exchange_id, trading_pairs, options, asked)
            finally:
                self._instance.settle()
            connector.side.seen_only = lambda: "" if self.read_only is None else str(self.read_only)
            self._open_log(connector)
            await self._let_in(connector, fresh=fresh)
            return connector

    async def _bring_up(
        self, exchange_id: str, trading_pairs: Sequence[str], options: dict[str, Any], asked: ConnectorConfig
    ) -> tuple[Connector, bool]:
        """Return the connector, guarded where that is due, and whether it is a fresh one."""
        options, config = await self._admit(exchange_id, options, asked)
        name, before = options["name"] or exchange_id, tuple(self.connectors.values())
        try:
            with self.guarding.connecting(config):
                connector = await self._connect(exchange_id, trading_pairs, **options)
                await self._cover(connector, config, fresh=connector not in before)
        except BaseException:
            await self._after_failing(name)
            raise
        return connector, connector not in before

    async def _after_failing(self, name: str) -> None:
        """Follow a connector that did not come; the one whose place it was to take may have gone for it."""
        if name not in self.connectors:
            await self.guarding.release(name, [])
            self.switch.left()

    async def _let_in(self, connector: Connector, *, fresh: bool) -> None:
        try:
            await self.switch.joined(connector, fresh=fresh)
        except BaseException:  # also an interrupt: what no check let in must not stay
            if fresh:
                await self._turn_out(connector)
                self.switch.left()
                self._instance.settle()
            raise

    async def _turn_out(self, connector: Connector) -> None:
        left = await self.connector_manager.remove_connector(connector.name)
        self._sync_clock()
        await self.guarding.release(connector.name, left)

    def account_changed(self, connector: Connector) -> None:
        """Follow a connector that trades with another account from now on: paper gone live, or back."""
        self._open_log(connector)
        self._sync_clock()
        if self._strategy is not None and connector in self._strategy.markets:
            self._strategy.account_changed(connector)

    async def _admit(
        self, exchange_id: str, options: dict[str, Any], asked: ConnectorConfig
    ) -> tuple[dict[str, Any], ConnectorConfig]:
        """Return what to connect: what was asked for, or only its data where another process runs this core."""
        watched = self.read_only is not None
        try:
            admitted = await self._instance.admit(options, options["name"] or exchange_id)
        finally:
            if watched and self.read_only is None:
                self._swap_strategy(None)  # its market was a view
        if admitted == options:
            return options, asked
        names = ("mode", "endpoint", "credentials", "paper")
        return admitted, configure(exchange_id, *(admitted[name] for name in names))

    async def _connect(self, exchange_id: str, trading_pairs: Sequence[str], **options: Any) -> Connector:
        if self._tables:
            await asyncio.to_thread(importlib.import_module, "pandas")
            warm()  # a first figure would stall the loop for longer yet
        adding = self.connector_manager.add_connector(exchange_id, trading_pairs, **options)
        self._adding = asyncio.ensure_future(adding)
        try:
            connector = await self._adding
        except asyncio.CancelledError:
            if _cancelled_itself():
                raise
            raise NotReady(f"core {self.name} was stopped while it connected to {exchange_id}") from None
        finally:
            self._adding = None
            self._sync_clock()
        return connector

    async def _cover(self, connector: Connector, config: ConnectorConfig, *, fresh: bool) -> None:
        try:
            await self.guarding.cover(connector, config, self.supervisor, self.affinity)
        except BaseException as error:
            if fresh or isinstance(error, NotReady):
                await self._turn_out(connector)
            raise

    def _open_log(self, connector: Connector) -> None:
        self._core_log.watch_events(connector.pubsub)
        side = connector.side
        log = next((known for known in self._logs if known.tracker is side.order_tracker), None)
        if log is None:
            log = SessionLog(connector.name, side.order_tracker, side.pubsub, mode=side.mode)
            self._logs.append(log)
        self.session_logs[connector.name] = log

    def _sync_clock(self) -> None:
        """Tick what there is: the connectors, then the strategy, so that it sees what they learnt in the same tick."""
        strategies = () if self._strategy is None or self.read_only is not None else (self._strategy,)
        history = (self.history,) if self.connectors and self.clock.mode is ClockMode.REALTIME else ()
        wanted: list[Any] = [*self.drivers, *history, *self.connectors.values(), *strategies]
        for child in self.clock.children:
            if child not in wanted:
                self.clock.remove_iterator(child)
        missing = [child for child in wanted if child not in self.clock.children]
        if self._strategy is not None and missing and self._strategy not in missing:
            self.clock.remove_iterator(self._strategy)
            missing.append(self._strategy)
        for child in missing:
            self.clock.add_iterator(child)
        self._recordings.follow(self.connectors)

    def _let_go(self, connector: Connector) -> None:
        """Take out a strategy whose market is about to be removed under it: it would place orders meanwhile."""
        if (
            self.running
            and self._strategy is not None
            and connector in self._strategy.markets
            and connector.mode != "data"
        ):
            logger.warning("%s is taken out, as its market %s is removed", self._strategy.name, connector.name)
            self._swap_strategy(None)

    async def remove_connector(self, name: str, timeout: float = 10.0) -> list[str]:
        """Cancel a connector's orders and close it; return the ids of orders that may still be open."""
        return await self._on_own_loop(self._remove_connector(name, timeout))

    async def _remove_connector(self, name: str, timeout: float) -> list[str]:
        async with self._lock:
            self._marks |= current_marks(self.connectors)
            try:
                left = await self.connector_manager.remove_connector(name, timeout)
            except BaseException:
                if name not in self.connectors:
                    logger.error("the removal of %s was broken off: orders of it may be open", name)
                    self.guarding.owe(name)
                    self.switch.left()
                raise
            finally:
                self._sync_clock()
            await self.guarding.release(name, left)
            self.switch.left()
            self._instance.settle()
            return left

    def adopt(self, connector: Connector) -> None:
        """Take in a connector that was opened without a loop (``Connector.open_at_once``).

        No session log is kept of it: a backtest writes a record of its own.
        """
        self.connector_manager.adopt(connector)
        self._sync_clock()

    def backtest_til(self, timestamp: float) -> None:
        """Tick up to ``timestamp`` (seconds since the epoch) without waiting; for a core on a backtest clock.

        See ``Clock.backtest_til``. Raises ``NotReady`` where ``start`` would.
        """
        if not self.running:
            self._check_connectors()
        self.clock.backtest_til(timestamp)

    async def start(self) -> None:
        """Start the clock and the strategy; does nothing when they run.

        With a live connector the pre-flight checks run first (``core.switch.checks``), as an explicit ``mode="live"``
        is the confirmation; with one on paper the core is on ``PAPER``, and ``go_live`` is the way on.

        Raises ``NotReady`` when a connector has no connection, the strategy's market is none of this core's, or a check
        failed, which it names; ``AuthenticationFailed`` when a strategy was set but a live connector's key is refused.
        """
        await self._on_own_loop(self._start())

    async def _start(self) -> None:
        async with self._lock:
            if self.running:
                return
            self._check_connectors()
            await self.switch.starting()
            self._clock_task = self.supervisor.spawn(self._run_clock(), name="clock")
            logger.info("core %s runs, a tick each %g s", self.name, self.clock.tick_size)
            self.switch.started()

    async def _run_clock(self) -> None:
        await self.clock.run()
        # Only a cancellation by stop() ends it on purpose.
        logger.error("core %s: the clock ended by itself; the strategy's orders are cancelled", self.name)
        if self._strategy is not None:
            self._strategy.cancel_all()
        self.switch.disarm("the clock ended by itself")

    def _check_connectors(self) -> None:
        connectors = self.connectors.values()
        for connector in connectors:
            if connector.mode != "data" and connector.trading_refused and self._strategy is not None:
                raise AuthenticationFailed(f"{connector.name} refuses to trade: {connector.trading_refused}")
            if not connector.readiness["network"]:
                raise NotReady(f"{connector.name} has no connection: {connector.last_error or 'not tried yet'}")
        self._check_markets(self._strategy)

    def _check_markets(self, strategy: StrategyBase | None) -> None:
        for market in strategy.markets if strategy is not None else ():
            if isinstance(market, Connector) and market not in self.connectors.values():
                raise NotReady(
                    f"{market.name}, the market of {strategy}, is closed or belongs to another core; "
                    f"make the strategy anew with the market that add_connector returns"
                )

    async def stop(self, timeout: float = 10.0) -> StopReport:
        """Stop strategy and clock, cancel every order of this core, close connectors, end every task.

        Waits for the exchange's word on each order, at most ``timeout`` seconds in all, and reports what is left.
        Ending connections that no longer answer takes up to 8 s more.
        """
        report = await self._on_own_loop(self._stop(timeout))
        if await self._core_loop.end():
            self._live_on(None)
        return report

    async def _stop(self, timeout: float) -> StopReport:
        if self._clock_task is not None:
            await self.supervisor.cancel(self._clock_task)
        if self._adding is not None:
            self._adding.cancel()
        self.switch.abort()
        async with self._lock:
            self._clock_task = None
            self._marks |= current_marks(self.connectors)
            names = list(self.connectors)
            removals = (self.connector_manager.remove_connector(name, timeout) for name in names)
            try:
                lefts = await asyncio.gather(*removals)
            except BaseException:  # such as an interrupt: connectors end in any case, what they leave is the guard's
                logger.error("core %s: stop was broken off: orders may be open on %s", self.name, ", ".join(names))
                await self.guarding.end(clean=False)
                self.switch.stopped()
                raise
            finally:
                self._sync_clock()
            await self.guarding.end(clean=not any(lefts))
            await self._recordings.close()
            tasks_left = await self.supervisor.close()
            self.supervisor = TaskSupervisor(self.name)
            self.connector_manager.bind(self.supervisor, self.affinity)
            self.switch.stopped()
            self._instance.release()
            report = StopReport({name: left for name, left in zip(names, lefts, strict=True) if left}, tasks_left)
            if report.clean:
                logger.info("core %s is stopped, nothing is left", self.name)
            else:
                logger.error("core %s stopped with remains: %s", self.name, report)
            return report

    # -- strategy --------------------------------------------------------------------------------------------------

    @property
    def strategy(self) -> StrategyBase | None:
        """Return the strategy; assigning another one swaps it in between two ticks, the old one's orders cancelled.

        An instance of the same class, or of the same source run again by a cell, with the same arguments and
        parameters takes the orders over instead. ``swap_strategy`` chooses.
        """
        return self._strategy

    @strategy.setter
    def strategy(self, strategy: StrategyBase | None) -> None:
        chosen = checked_strategy(strategy)
        self.affinity.run_sync(self._assign, chosen)

    def _assign(self, strategy: StrategyBase | None) -> None:
        self._swap_strategy(strategy, self._swap.choice(self._strategy, strategy))

    def swap_strategy(self, strategy: StrategyBase | None, *, orders: OrdersChoice = "cancel") -> SwappedOrders:
        """Put another strategy (``None``: none) in the place of the present one between two ticks.

        ``orders`` of the present one are cancelled ("cancel"), stay on the exchange with nobody to look after them
        ("keep": tracked, named in the log and under ``unattended`` in ``status``, cancelled by ``stop``), or become
        those of the new one with their levels ("adopt": they keep their places in the queue; what it cannot look after,
        as of another market or pair, is cancelled). Returns the client order ids that this was done with; it is done
        then, with ``await`` before it or without. Callable from any thread. Raises ``InvalidInput`` for what is no
        strategy and for another choice, and ``NotReady`` while the core runs for a strategy whose market is none of
        this core's, such as one that ``stop`` closed.
        """
        chosen, choice = checked_strategy(strategy), checked_choice(orders)
        return SwappedOrders(self.affinity.run_sync(self._swap_strategy, chosen, choice))

    def _swap_strategy(self, strategy: StrategyBase | None, orders: OrdersChoice = "cancel") -> tuple[str, ...]:
        previous = self._strategy
        if strategy is previous:
            return ()
        if self.running:
            self._check_markets(strategy)
        if strategy is not None:
            strategy.live_on(self.affinity)
            strategy.health.on_failed_tick = self._on_failed_tick
            strategy.gate = self.switch.gate if self.clock.mode is ClockMode.REALTIME else None
        if previous is not None:
            previous.health.on_failed_tick = previous.gate = None

        def exchange() -> None:
            self._strategy = strategy
            self._sync_clock()

        with self._core_log.here():
            return self._swap.carry_out(previous, strategy, orders, exchange)

    def _on_failed_tick(self, error: StrategyError) -> None:
        strategy = self._strategy
        if strategy is None or strategy.paused or strategy.consecutive_errors < MAX_STRATEGY_ERRORS:
            return
        logger.error(
            "%s failed in %d ticks in a row and is paused, its orders are cancelled. Mend it and call resume(), or "
            "assign another strategy. Last error: %s",
            strategy.name,
            strategy.consecutive_errors,
            error,
        )
        strategy.pause(str(error))
        strategy.cancel_all()
        self.switch.disarm(f"{strategy.name} was paused after {strategy.consecutive_errors} failed ticks: {error}")

    def _halt(self, reason: str) -> None:
        """Keep the strategy from placing orders, from any thread."""
        if self._strategy is not None and not self._strategy.paused:
            self._strategy.pause(f"{reason}; resume() goes on")

    def _end_live(self, reason: str) -> None:
        """Go back from live because of the guard, from any thread."""
        self._halt(reason)
        try:
            self.affinity.call(self.switch.disarm, reason)
        except NotReady:
            logger.warning("core %s cannot go back by itself, as its loop is gone: %s", self.name, reason)

    @property
    def guard(self) -> Guard | None:
        """Return the guard; its process runs while there is a live connector. ``None``: this core goes without."""
        return self.guarding.guard

    @property
    def guard_log(self) -> pd.DataFrame:
        """Return what guards of this core's name did, also in earlier runs: time (UTC), event, text, pid."""
        import pandas as pd

        entries = self.guard.log() if self.guard is not None else []
        rows = [(entry.timestamp, entry.event, entry.text, entry.pid) for entry in entries]
        frame = pd.DataFrame(rows, columns=["time", "event", "text", "pid"])
        return frame.assign(time=pd.to_datetime(frame["time"], unit="s", utc=True))

    # -- the record ------------------------------------------------------------------------------------------------

    def record(self, folder: str | Path, *, pairs: Sequence[str] | None = None) -> Recorder:
        """Record the market data of this core's connectors into ``folder``, until ``stop()`` of what is returned.

        ``pairs`` ``None``: all, also of connectors added later. The recorder's ``status()`` tells how it stands; the
        end of a ``with`` block ends it, and so does ``stop()`` of the core. ``kit.open_recording(folder)`` reads at any
        moment; a folder that holds a recording is added to. Asked again for the same it hands back what records.

        Raises ``NotReady`` without connectors, ``UnknownPair``, ``InvalidInput`` when another recorder writes there,
        and ``OSError``.
        """
        return self.affinity.run_sync(self._recordings.start, folder, self.connectors, pairs)

    def record_session(self, folder: str | Path) -> SessionRecording:
        """Record all that reaches this core and all that it decides, into a new file in ``folder``, until ``stop``.

        ``kit.parity(path)`` replays the file. Asking again while it records into that folder hands back the recording.
        Call it before the strategy runs. Raises ``NotReady`` later than that, and ``InvalidInput`` while it records
        into another folder.
        """
        if self._core_loop.kind == "thread":
            self._settle_now()  # the recording is of one thread
        return self.affinity.run_sync(self._record_session, folder)

    def _record_session(self, folder: str | Path) -> SessionRecording:
        session = self._session
        if session is None or session.stopped:
            self._session = session = SessionRecording(self, folder)
        elif session.path.parent != Path(folder):
            raise InvalidInput(f"core {self.name} records into {session.path.parent}; stop that first: .stop()")
        return session

    # -- what is known ---------------------------------------------------------------------------------------------

    @property
    def unattended(self) -> tuple[str, ...]:
        """Return the client order ids of orders that a swap left on an exchange with nobody to look after them."""
        return self._swap.unattended

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        strategy = self._strategy.name if self._strategy else "no strategy"
        return f"<TradingCore {self.name!r} {state}: {', '.join(self.connectors) or 'no connectors'}; {strategy}>"


def _cancelled_itself() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
