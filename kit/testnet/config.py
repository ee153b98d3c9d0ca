"""How a test exchange is set up: what ``Testnet.start`` takes and hands to the process."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import orjson

from kit.errors import InvalidInput, UnknownPair
from kit.testnet.rate_limits import Limits
from kit.testnet.symbols import DEFAULT_SYMBOLS, SymbolInfo

DEFAULT_DEPOSITS: Mapping[str, Decimal] = {"USDT": Decimal(1_000_000), "BTC": Decimal(10), "ETH": Decimal(100)}
REPLAYED_SYMBOL = "BTCUSDT"


@dataclass(frozen=True, slots=True)
class TestnetConfig:
    """One test exchange: two with equal configurations are interchangeable.

    ``symbols`` are wire names, ``replay`` the recorded files in order, ``speed`` how many times faster than recorded
    they play. ``flow`` is whether random traders act on the symbols that no replay drives. ``deposits`` is what the
    default account starts with. Raises ``InvalidInput`` for a bad value, ``UnknownPair`` for a pair that it does not
    list.
    """

    __test__ = False  # the name begins with Test, which pytest would collect

    name: str = "main"
    seed: int = 1
    replay: tuple[str, ...] = ()
    speed: float = 1.0
    flow: bool = True
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    deposits: Mapping[str, Decimal] = field(default_factory=lambda: dict(DEFAULT_DEPOSITS))
    limits: Limits = field(default_factory=Limits)
    port: int = 0

    def __post_init__(self) -> None:
        if not (self.speed > 0 and math.isfinite(self.speed)):
            raise InvalidInput(f"speed {self.speed} must be finite and above zero (1 is as recorded, 10 is ten times)")
        if not 0 <= self.port < 65536:
            raise InvalidInput(f"port {self.port} is not between 0 and 65535; 0 lets the system choose")
        if not self.symbols:
            raise InvalidInput("a test exchange needs at least one symbol, such as BTC/USDT")
        for file in self.replay:
            if not Path(file).is_file():
                raise InvalidInput(f"there is no file {file!r} to replay; give paths of recorded raw streams")
        if self.replay and REPLAYED_SYMBOL not in self.symbols:
            raise InvalidInput("a replay plays on BTC/USDT, which is not among the symbols; add it")
        symbol_infos(self.symbols)

    def to_json(self) -> bytes:
        """Return the configuration as JSON."""
        return orjson.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, data: bytes | str) -> TestnetConfig:
        """Read what ``to_json`` wrote."""
        values: dict[str, Any] = orjson.loads(data)
        values["replay"] = tuple(values["replay"])
        values["symbols"] = tuple(values["symbols"])
        values["deposits"] = amounts(values["deposits"])
        values["limits"] = Limits(**values["limits"])
        return cls(**values)


def wire_symbol(pair: str) -> str:
    """Return the exchange's name of a pair written as BTC/USDT, BTC-USDT or BTCUSDT."""
    return pair.replace("/", "").replace("-", "").upper()


def symbol_infos(symbols: tuple[str, ...]) -> tuple[SymbolInfo, ...]:
    """Return the rules of the symbols; raises ``UnknownPair``."""
    known = {info.symbol: info for info in DEFAULT_SYMBOLS}
    unknown = [symbol for symbol in symbols if symbol not in known]
    if unknown:
        names = ", ".join(f"{info.base}/{info.quote}" for info in DEFAULT_SYMBOLS)
        raise UnknownPair(f"the test exchange does not list {', '.join(unknown)}; it lists {names}")
    return tuple(known[symbol] for symbol in symbols)


def amounts(values: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return amounts by asset as decimals; raises ``InvalidInput`` for what is no finite number."""
    return {asset: amount(value) for asset, value in values.items()}


def amount(value: Any) -> Decimal:
    """Return a number given as Decimal, int, float or text as a decimal; raises ``InvalidInput``."""
    try:
        result = Decimal(str(value))
    except InvalidOperation:
        result = Decimal("NaN")
    if not result.is_finite():
        raise InvalidInput(f"{value!r} is not a finite number")
    return result
