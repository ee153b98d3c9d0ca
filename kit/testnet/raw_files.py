"""Read recorded market streams: one ``<local receive time, ns> <raw exchange message>`` a line, gzip or plain.

The messages are Binance's (spot and USD-M futures), as they came over the wire: ``depthUpdate``, ``trade`` and
``bookTicker`` events, bare or inside a combined-stream envelope (``stream``, ``data``), and REST depth snapshots
(``lastUpdateId``, ``bids``, ``asks``). Prices and amounts become whole numbers of 1e-8 (``UNITS``), which is exact for
every decimal that Binance sends. Lines are decoded one by one, so a day's file costs no more memory than a minute's.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from kit.errors import InvalidInput, bad_line

NANOSECONDS = 10**9

RawLevel: TypeAlias = tuple[int, int]
"""One level: (price, amount), both in units of 1e-8; amount 0 removes the level."""


class BadRecording(InvalidInput):
    """A recording is damaged or not of the raw format; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole book at ``last_id``, as the REST depth request answered it."""

    local_ns: int
    last_id: int
    bids: tuple[RawLevel, ...]
    asks: tuple[RawLevel, ...]


@dataclass(frozen=True, slots=True)
class DepthUpdate:
    """Changed levels, absolute amounts; covers the update ids ``first_id`` … ``last_id``.

    ``previous_id`` is the last id of the update before (futures streams), ``None`` on spot.
    """

    local_ns: int
    symbol: str
    event_ms: int
    first_id: int
    last_id: int
    previous_id: int | None
    bids: tuple[RawLevel, ...]
    asks: tuple[RawLevel, ...]

    def follows(self, update_id: int) -> bool:
        """Tell whether this update is the one right after ``update_id``, by the market's own sequence rule."""
        if self.previous_id is not None:
            return self.previous_id == update_id
        return self.first_id == update_id + 1


@dataclass(frozen=True, slots=True)
class Trade:
    """A public trade; ``buyer_is_maker`` true means that the taker sold."""

    local_ns: int
    symbol: str
    trade_id: int
    trade_ms: int
    price: int
    amount: int
    buyer_is_maker: bool


@dataclass(frozen=True, slots=True)
class BookTicker:
    """The best bid and ask and their amounts after update ``update_id``."""

    local_ns: int
    symbol: str
    update_id: int
    bid: int
    bid_amount: int
    ask: int
    ask_amount: int


RawMessage: TypeAlias = Snapshot | DepthUpdate | Trade | BookTicker


def read_raw(paths: Sequence[str | PathLike[str]], *, symbol: str | None = None) -> RawFiles:
    """Open recordings that follow each other in time and iterate over their messages.

    ``symbol`` (``"BTCUSDT"``) keeps only that symbol's events; snapshots name no symbol and are always kept. Raises
    InvalidInput at once when a file is missing or none is given, BadRecording while iterating when a line is damaged
    or the files are out of order.
    """
    return RawFiles(paths, symbol=symbol)


class RawFiles:
    """An iterable over the messages of several recordings; each iteration starts at the first file again.

    ``skipped`` counts the well-formed messages of other kinds or symbols that the latest iteration passed over.
    """

    def __init__(self, paths: Sequence[str | PathLike[str]], *, symbol: str | None = None) -> None:
        self.paths = tuple(Path(path) for path in paths)
        if not self.paths:
            raise InvalidInput("no recording given: name at least one file of the raw format")
        for path in self.paths:
            if not path.is_file():
                raise InvalidInput(f"there is no recording {str(path)!r}: check the path")
        self.symbol = symbol
        self.skipped = 0

    def __iter__(self) -> Iterator[RawMessage]:
        self.skipped = 0
        last_ns = 0
        for path in self.paths:
            first_of_file = True
            for message in self._messages(path):
                if first_of_file and message.local_ns < last_ns:
                    overlap = (last_ns - message.local_ns) / NANOSECONDS
                    raise BadRecording(
                        f"{path.name} starts {overlap:.3f} s before the file ahead of it ends: "
                        "give the recordings in the order of their time, without overlap"
                    )
                first_of_file = False
                last_ns = max(last_ns, message.local_ns)
                yield message

    def _messages(self, path: Path) -> Iterator[RawMessage]:
        for number, line in _lines(path):
            try:
                message = parse_line(line)
            except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                raise BadRecording(bad_line(path.name, number, error, line)) from error
            if message is None or not self._wanted(message):
                self.skipped += 1
            else:
                yield message

    def _wanted(self, message: RawMessage) -> bool:
        return self.symbol is None or isinstance(message, Snapshot) or message.symbol == self.symbol


def parse_line(line: bytes) -> RawMessage | None:
    """Decode one line; ``None`` for a blank line or an event of a kind that is not read here.

    Raises ValueError, KeyError or TypeError when the line is damaged.
    """
    if line.isspace() or not line:
        return None
    stamp, _, body = line.partition(b" ")
    if not stamp.isdigit():
        raise ValueError("no receive time in nanoseconds at the start")
    message: dict[str, Any] = orjson.loads(body)
    data: dict[str, Any] = message["data"] if "stream" in message else message
    local_ns = int(stamp)
    if "lastUpdateId" in data:
        return Snapshot(local_ns, _whole(data["lastUpdateId"]), _levels(data["bids"]), _levels(data["asks"]))
    # Spot book tickers carry no event kind, futures ones do.
    kind = data.get("e", "bookTicker" if "B" in data else "")
    decode = _DECODERS.get(kind)
    return None if decode is None else decode(local_ns, data)


def text_units(text: str) -> int:
    """Return a decimal string such as ``"61837.63000000"`` as a whole number of 1e-8.

    Raises ValueError when it is no plain, non-negative decimal or has a non-zero digit beyond the eighth place.
    """
    whole, _, fraction = text.partition(".")
    if len(fraction) > 8:
        if fraction[8:].strip("0"):
            raise ValueError(f"{text!r} has more than eight decimals")
        fraction = fraction[:8]
    digits = whole + fraction
    if not (digits.isdigit() and digits.isascii()):
        raise ValueError(f"{text!r} is no non-negative decimal number")
    return int(digits) * _SCALES[len(fraction)]


_SCALES: tuple[int, ...] = tuple(int(10 ** (8 - decimals)) for decimals in range(9))


def _levels(rows: list[list[str]]) -> tuple[RawLevel, ...]:
    return tuple([(text_units(row[0]), text_units(row[1])) for row in rows])


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no whole number")  # noqa: TRY004 - a damaged file, not a programming error
    return value


def _depth(local_ns: int, data: dict[str, Any]) -> DepthUpdate:
    previous = data.get("pu")
    return DepthUpdate(
        local_ns,
        str(data["s"]),
        _whole(data["E"]),
        _whole(data["U"]),
        _whole(data["u"]),
        None if previous is None else _whole(previous),
        _levels(data["b"]),
        _levels(data["a"]),
    )


def _trade(local_ns: int, data: dict[str, Any]) -> Trade:
    if data["m"] not in (True, False):
        raise ValueError(f"m is {data['m']!r}, neither true nor false")
    return Trade(
        local_ns,
        str(data["s"]),
        _whole(data["t"]),
        _whole(data["T"]),
        text_units(data["p"]),
        text_units(data["q"]),
        bool(data["m"]),
    )


def _book_ticker(local_ns: int, data: dict[str, Any]) -> BookTicker:
    return BookTicker(
        local_ns,
        str(data["s"]),
        _whole(data["u"]),
        text_units(data["b"]),
        text_units(data["B"]),
        text_units(data["a"]),
        text_units(data["A"]),
    )


_DECODERS: dict[str, Callable[[int, dict[str, Any]], RawMessage]] = {
    "depthUpdate": _depth,
    "trade": _trade,
    "bookTicker": _book_ticker,
}


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as probe:
        zipped = probe.read(2) == b"\x1f\x8b"
    number = 0
    try:
        with gzip.open(path, "rb") if zipped else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        reason = f"the compressed file is damaged or cut ({error})"
        raise BadRecording(f"{path.name}, after line {number}: {reason}") from error
