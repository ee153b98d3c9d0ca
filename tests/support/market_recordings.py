"""The recorded Binance streams, where they are at hand.

They lie beside the repository, not in it: in ``../shared/data``, or where the environment variable KIT_SHARED_DATA
says.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kit.types.market import Level, OrderBookDiff, OrderBookSnapshot, PublicTrade, TradeType

FOLDER = Path(os.environ.get("KIT_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")


def recording(name: str) -> Path:
    """Return the path of a recording, or skip the test that asks."""
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"recorded stream {name} is not in {FOLDER}; set KIT_SHARED_DATA to its folder")
    return path


def raw_lines(path: Path) -> Iterator[tuple[float, dict[str, Any]]]:
    """Yield (local time in seconds, message as it came) for each line."""
    with gzip.open(path, "rb") as lines:
        for line in lines:
            nanoseconds, _, message = line.partition(b" ")
            decoded = orjson.loads(message)
            yield int(nanoseconds) / 1e9, decoded.get("data", decoded)


def to_message(pair: str, data: dict[str, Any]) -> OrderBookDiff | OrderBookSnapshot | PublicTrade | None:
    """Translate a depth update, a snapshot or a trade; None for everything else."""
    if "lastUpdateId" in data:
        return OrderBookSnapshot(pair, data["lastUpdateId"], 0.0, _levels(data["bids"]), _levels(data["asks"]))
    kind, time = data.get("e"), data.get("E", 0) / 1000
    if kind == "depthUpdate":
        bids, asks = _levels(data["b"]), _levels(data["a"])
        return OrderBookDiff(pair, data["u"], time, bids, asks, data["U"], data.get("pu"))
    if kind == "trade" and float(data["q"]):
        side = TradeType.SELL if data["m"] else TradeType.BUY
        return PublicTrade(pair, str(data["t"]), data["T"] / 1000, side, float(data["p"]), float(data["q"]))
    return None


def _levels(rows: list[list[str]]) -> tuple[Level, ...]:
    return tuple((float(price), float(amount)) for price, amount in rows)
