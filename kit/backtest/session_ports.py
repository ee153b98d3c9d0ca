"""The world as a recorded session noted it: its times, its answers, its ids."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar, cast

from kit import errors
from kit.connectors.client_order_ids import ID_LENGTH, ClientOrderIds
from kit.core.time_source import Timer
from kit.errors import NotSupported
from kit.storage.session_files import Frame
from kit.strategy.price_source import NAN, PriceSource
from kit.strategy.session_witness import Witness
from kit.types.market import MarketMessage, OrderBookSnapshot, PriceType, TradeType, TradingRule
from kit.types.orders import AccountMessage, Balance, CancelRequest, OrderRequest, OrderUpdate, TradeUpdate

T = TypeVar("T")

_PRICE: Final = "price"
_PROBLEM: Final = "price problem"
_KEPT: Final = (".ready", _PRICE, _PROBLEM)
"""Readers whose last answer holds until the next; all others are times."""


def error_of(name: str, reason: str) -> Exception:
    """Return an error of the type that was noted."""
    kind: Any = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, errors.KitError):
        return kind(reason)
    return cast("Exception", type(name, (Exception,), {})(reason))


class ReplayedTime:
    """A time source that stands at the begin of the frame that is replayed."""

    def __init__(self, start: float) -> None:
        self._now = start
        self._offset = -start

    def set(self, frame: Frame) -> None:
        """Come to a frame."""
        self._now = frame.at

    def learn(self, monotonic: float) -> None:
        """Take note of how the monotonic clock stood."""
        self._offset = monotonic - self._now

    def time(self) -> float:
        """Return when the frame began."""
        return self._now

    def monotonic(self) -> float:
        """Return the same on the other clock, as far as that was noted."""
        return self._now + self._offset

    async def sleep(self, seconds: float) -> None:
        """Refuse."""
        raise NotSupported(f"nothing waits in a replay, but {seconds:g} s were asked for")

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Refuse."""
        raise NotSupported(f"nothing waits in a replay, but {callback!r} was to be called in {seconds:g} s")


class ReplayWitness(Witness):
    """A witness whose reads are answered as they were noted; what was not asked then is answered as last known."""

    def __init__(self, sink: Callable[[Frame], None], time: ReplayedTime) -> None:
        super().__init__(sink, time.time)
        self._time = time
        self._noted: dict[str, deque[Any]] = {}
        self._last: dict[str, Any] = {}

    def load(self, frame: Frame) -> None:
        """Have the answers of a frame ready."""
        self._noted = {reader: deque(answers) for reader, answers in frame.reads.items()}

    def expect(self, reader: str, answer: Any) -> None:
        """Set what is answered where nothing was noted."""
        self._last[reader] = answer

    def peek(self, reader: str) -> Any:
        """Return the next answer of a reader without taking it."""
        noted = self._noted.get(reader)
        return noted[0] if noted else self._last.get(reader)

    def read(self, reader: str, ask: Callable[[], T]) -> T:
        """Return the answer that was noted, in its turn."""
        noted = self._noted.get(reader)
        if not noted or self._frame is None:
            if reader.endswith(_KEPT) and reader in self._last:
                return cast("T", _value(reader, self._last[reader]))
            return ask()
        answer = noted.popleft()
        if reader.endswith(_KEPT):
            self._last[reader] = answer
        elif reader.endswith((".monotonic", ".book")):
            self._time.learn(answer)
        return cast("T", _value(reader, answer))


def _value(reader: str, answer: Any) -> Any:
    if isinstance(answer, dict):
        raise error_of(answer["raised"], answer["reason"])
    return Decimal(answer) if reader == _PRICE else answer


class ReplayedPrice(PriceSource):
    """A price source whose answers were noted; ``price`` is answered by the witness, before it comes here."""

    def __init__(self, witness: ReplayWitness, name: str, knows_types: bool) -> None:
        self._witness = witness
        self.name = name
        self.knows_types = knows_types

    def price(self, price_type: PriceType) -> Decimal:  # noqa: ARG002
        """Return NaN: nothing was noted."""
        return NAN

    @property
    def problem(self) -> str:
        """Return what it said then."""
        said = self._witness.peek(_PROBLEM)
        return said if isinstance(said, str) else ""


class ReplayedIds(ClientOrderIds):
    """Hands out the ids of the session: to each order that of the recorded one of its pair and side."""

    def __init__(self, core_name: str, tag: str, salt: str) -> None:
        super().__init__(core_name)
        self.tag, self.salt = tag, salt
        self._noted: list[tuple[str, str, str, str]] = []
        self._wanted = ("", "", "")
        self._more = 0

    def load(self, frame: Frame) -> None:
        """Have the ids of a frame ready."""
        orders = [(act["w"], act["order"]) for act in frame.acts if act["a"] == "place"]
        self._noted = [
            (who, order["trading_pair"], order["trade_type"], order["client_order_id"]) for who, order in orders
        ]

    def watch(self, name: str, desk: Any) -> None:
        """Look at what a desk places, to know for which order the next id is."""
        place = desk.place

        def placing(trade_type: TradeType, trading_pair: str, *rest: Any) -> Any:
            before, self._wanted = self._wanted, (name, trading_pair, trade_type.value)
            try:
                return place(trade_type, trading_pair, *rest)
            finally:
                self._wanted = before

        desk.place = placing

    def next(self) -> str:
        """Return the recorded id, or one that no recorded order has."""
        for entry in self._noted:
            if entry[:3] == self._wanted:
                self._noted.remove(entry)
                return entry[3]
        self._more += 1
        return self.tag + str(self._more).rjust(ID_LENGTH - len(self.tag) - len(self.salt), "x") + self.salt


class ReplayedPort:
    """The three ports of a venue, answering within ``submit`` and ``cancel`` what was answered within them then."""

    def __init__(self, rules: Mapping[str, TradingRule], deliver: Callable[[str, str, Any], None]) -> None:
        self._rules = dict(rules)
        self._deliver = deliver
        self._noted: list[dict[str, Any]] = []

    def load(self, frame: Frame) -> None:
        """Have the answers of a frame ready."""
        self._noted = [act for act in frame.acts if act["a"] in ("submit", "drop")]

    def submit(self, request: OrderRequest) -> None:
        """Answer as then."""
        self._answer("submit", request.client_order_id)

    def cancel(self, request: CancelRequest) -> None:
        """Answer as then."""
        self._answer("drop", request.client_order_id)

    def _answer(self, act: str, order_id: str) -> None:
        for noted in self._noted:
            if noted["a"] == act and noted["id"] == order_id:
                self._noted.remove(noted)
                for answer in noted.get("answers", ()):
                    self._deliver(answer["k"], answer["w"], answer["d"])
                if "error" in noted:
                    raise error_of(noted["error"], noted["reason"])
                return

    def attach_market_sink(self, sink: Callable[[MarketMessage], None]) -> None:
        """Do nothing: messages come from the session."""

    def attach_account_sink(self, sink: Callable[[AccountMessage], None]) -> None:
        """Do nothing: messages come from the session."""

    async def subscribe(self, trading_pairs: Sequence[str]) -> None:
        """Do nothing."""

    async def unsubscribe(self, trading_pairs: Sequence[str]) -> None:
        """Do nothing."""

    def is_streaming(self, trading_pair: str) -> bool:  # noqa: ARG002  # the port's
        """Tell no: what put a book into step is in the session."""
        return False

    async def fetch_order_book(self, trading_pair: str) -> OrderBookSnapshot:
        """Refuse."""
        raise NotSupported(f"nothing is fetched in a replay, but a book of {trading_pair} was asked for")

    async def fetch_last_prices(self, trading_pairs: Sequence[str]) -> Mapping[str, float]:
        """Refuse."""
        raise NotSupported(f"nothing is fetched in a replay, but prices of {trading_pairs} were asked for")

    async def fetch_trading_rules(self) -> Mapping[str, TradingRule]:
        """Return the rules of the session's begin."""
        return self._rules

    async def fetch_server_time(self) -> float:
        """Refuse."""
        raise NotSupported("nothing is fetched in a replay, but the time was asked for")

    async def fetch_balances(self) -> Mapping[str, Balance]:
        """Return nothing: the balances of the session's begin are brought in as they were."""
        return {}

    async def fetch_open_orders(self, trading_pair: str) -> Sequence[OrderUpdate]:
        """Refuse."""
        raise NotSupported(f"nothing is fetched in a replay, but orders on {trading_pair} were asked for")

    async def fetch_fills(self, trading_pair: str, since: float) -> Sequence[TradeUpdate]:
        """Refuse."""
        raise NotSupported(f"nothing is fetched in a replay, but fills on {trading_pair} since {since} were asked for")

    async def query(self, request: CancelRequest) -> OrderUpdate | None:
        """Refuse."""
        raise NotSupported(f"nothing is fetched in a replay, but {request.client_order_id} was asked for")

    async def open_user_stream(self) -> None:
        """Do nothing."""

    async def close_user_stream(self) -> None:
        """Do nothing."""

    def status(self) -> Mapping[str, object]:
        """Return nothing."""
        return {}

    async def close(self) -> None:
        """Do nothing."""
