"""The core: composes clock, connectors and strategy, starts and stops them, and shows what they did."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from kit.connectors.connector import Connector, Mode
from kit.connectors.connector_manager import ConnectorManager
from kit.core.affinity import LoopAffinity
from kit.core.clock import SYSTEM_TIME, Clock, ClockMode, TimeSource
from kit.core.error_list import ErrorList
from kit.core.tasks import TaskSupervisor
from kit.core.time_iterator import TimeIterator
from kit.errors import NotReady
from kit.guard.guard import STALL_LIMIT, Guard
from kit.guard.guarding import Guarding
from kit.strategy.session_recorder import SessionRecording
from kit.strategy.strategy_base import StrategyBase
from kit.trading.clock_members import ClockMembers
from kit.trading.connector_door import ConnectorDoor
from kit.trading.core_home import CoreHome
from kit.trading.core_loop import LoopKind, checked_kind
from kit.trading.core_run import CoreRun, StopReport
from kit.trading.instance import CoreInstance
from kit.trading.log_book import LogBook
from kit.trading.log_feed import CoreLog
from kit.trading.pnl_history import PnlHistory
from kit.trading.predecessor import Predecessor, differences
from kit.trading.red_button import RedButton
from kit.trading.session_records import SessionRecords
from kit.trading.strategy_place import StrategyPlace
from kit.trading.swap import OrdersChoice, SwappedOrders, checked_choice, checked_strategy
from kit.trading.switch import LiveSwitch
from kit.trading.switch_commands import SwitchCommands
from kit.trading.tables import CoreTables
from kit.trading.views import CoreViews
from kit.trading.watching import ReadOnly
from kit.types.ports import Credentials, Endpoint

if TYPE_CHECKING:
    import pandas as pd

    from kit.storage.recorder import Recorder

logger = logging.getLogger(__name__)

T = TypeVar("T")


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
        kind = checked_kind(loop or "kernel")
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
        self._records = SessionRecords(self, self._core_log, time_source)
        self.session_logs = self._records.by_name
        self.history = PnlHistory(lambda: self.connectors, lambda: self._records.logs)
        self._members = ClockMembers(self, self._records.recordings)
        self._place = StrategyPlace(self, self._members, self._core_log)
        guarded = guard and self.clock.mode is ClockMode.REALTIME
        self.guarding = Guarding(
            Guard(name, self.connector_manager.ids, stall_limit=stall_limit or STALL_LIMIT, time_source=time_source)
            if guarded
            else None,
            lambda: self.connectors,
            self._place.halt,
            time_source,
        )
        self.switch = LiveSwitch(self, time_source)
        self.guarding.heard = lambda report: self.switch.disarm(f"the guard acted: {report}")
        if self.guard is not None:
            self.guard.on_lost = self._end_live
        self.red_button = RedButton(self, self._place.halt, time_source)
        self._instance = CoreInstance(self, time_source)
        self._door = ConnectorDoor(self, self._instance, self._records, self._members, self._place, tables=tables)
        self._run = CoreRun(self, self._instance, self._records, self._place, self._door)
        self._home = CoreHome(self, kind, self._core_log, self._members, self._place, self._run)
        if clock is None:
            self._take_the_name()

    @classmethod
    def all(cls) -> tuple[TradingCore, ...]:
        """Return the cores of this process that are in use, each the one that its name hands back."""
        return tuple(core for core in tuple(cls._cores.values()) if core.in_use)

    def _take_the_name(self) -> None:
        existing = self._cores.get(self.name)
        if existing is not None and existing.in_use:
            self._home.predecessor = Predecessor(existing, differences(existing, self.configuration))
        self._cores[self.name] = self

    @property
    def configuration(self) -> dict[str, object]:
        """Return what makes it another core when it is asked for otherwise; ``None`` is what it goes without."""
        guard = self.guard
        return {
            "loop": self._home.kind,
            "tick_size": self.clock.tick_size,
            "guard": guard is not None,
            "stall_limit": None if guard is None else guard.stall_limit,
        }

    # -- life ------------------------------------------------------------------------------------------------------

    @property
    def in_use(self) -> bool:
        """Tell whether the core has connectors, runs, or is about to take the place of one that does."""
        return bool(self.connector_manager.connectors) or self.running or self._home.predecessor is not None

    @property
    def running(self) -> bool:
        """Tell whether the clock ticks."""
        if self.clock.mode is ClockMode.BACKTEST:
            return self.clock.running
        return self._run.ticking

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
        return self._home.changing

    async def _on_own_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return await self._home.run(coroutine)

    # -- connectors ------------------------------------------------------------------------------------------------

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
            self._door.add(
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

    def account_changed(self, connector: Connector) -> None:
        """Follow a connector that trades with another account from now on: paper gone live, or back."""
        self._records.open_log(connector)
        self._members.sync()
        self._place.account_changed(connector)

    async def remove_connector(self, name: str, timeout: float = 10.0) -> list[str]:
        """Cancel a connector's orders and close it; return the ids of orders that may still be open."""
        return await self._on_own_loop(self._door.remove(name, timeout))

    def adopt(self, connector: Connector) -> None:
        """Take in a connector that was opened without a loop (``Connector.open_at_once``).

        No session log is kept of it: a backtest writes a record of its own.
        """
        self.connector_manager.adopt(connector)
        self._members.sync()

    # -- the run ---------------------------------------------------------------------------------------------------

    def backtest_til(self, timestamp: float) -> None:
        """Tick up to ``timestamp`` (seconds since the epoch) without waiting; for a core on a backtest clock.

        See ``Clock.backtest_til``. Raises ``NotReady`` where ``start`` would.
        """
        if not self.running:
            self._run.check_connectors()
        self.clock.backtest_til(timestamp)

    async def start(self) -> None:
        """Start the clock and the strategy; does nothing when they run.

        With a live connector the pre-flight checks run first (``core.switch.checks``), as an explicit ``mode="live"``
        is the confirmation; with one on paper the core is on ``PAPER``, and ``go_live`` is the way on.

        Raises ``NotReady`` when a connector has no connection, the strategy's market is none of this core's, or a check
        failed, which it names; ``AuthenticationFailed`` when a strategy was set but a live connector's key is refused.
        """
        await self._on_own_loop(self._run.start())

    async def stop(self, timeout: float = 10.0) -> StopReport:
        """Stop strategy and clock, cancel every order of this core, close connectors, end every task.

        Waits for the exchange's word on each order, at most ``timeout`` seconds in all, and reports what is left.
        Ending connections that no longer answer takes up to 8 s more.
        """
        report = await self._on_own_loop(self._run.stop(timeout))
        await self._home.leave()
        return report

    # -- strategy --------------------------------------------------------------------------------------------------

    @property
    def strategy(self) -> StrategyBase | None:
        """Return the strategy; assigning another one swaps it in between two ticks, the old one's orders cancelled.

        An instance of the same class, or of the same source run again by a cell, with the same arguments and
        parameters takes the orders over instead. ``swap_strategy`` chooses.
        """
        return self._place.strategy

    @strategy.setter
    def strategy(self, strategy: StrategyBase | None) -> None:
        chosen = checked_strategy(strategy)
        self.affinity.run_sync(self._place.assign, chosen)

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
        return SwappedOrders(self.affinity.run_sync(self._place.swap, chosen, choice))

    def _end_live(self, reason: str) -> None:
        """Go back from live because of the guard, from any thread."""
        self._place.halt(reason)
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
        return self.affinity.run_sync(self._records.recordings.start, folder, self.connectors, pairs)

    def record_session(self, folder: str | Path) -> SessionRecording:
        """Record all that reaches this core and all that it decides, into a new file in ``folder``, until ``stop``.

        ``kit.parity(path)`` replays the file. Asking again while it records into that folder hands back the recording.
        Call it before the strategy runs. Raises ``NotReady`` later than that, and ``InvalidInput`` while it records
        into another folder.
        """
        if self._home.kind == "thread":
            self._home.settle_now()  # the recording is of one thread
        return self.affinity.run_sync(self._records.record_session, folder)

    # -- what is known ---------------------------------------------------------------------------------------------

    @property
    def unattended(self) -> tuple[str, ...]:
        """Return the client order ids of orders that a swap left on an exchange with nobody to look after them."""
        return self._place.unattended

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        strategy = self.strategy.name if self.strategy else "no strategy"
        return f"<TradingCore {self.name!r} {state}: {', '.join(self.connectors) or 'no connectors'}; {strategy}>"
