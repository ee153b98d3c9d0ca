"""What a running core tells the other processes of its user: a small file, readable to its owner only, no secrets."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from kit.config.private_files import write_whole
from kit.errors import InvalidInput
from kit.orders.in_flight_order import InFlightOrder
from kit.orders.session_log import PairTotals
from kit.storage.session_codec import build, dumps
from kit.trading.instance_lock import Instance
from kit.types.orders import Balance

logger = logging.getLogger(__name__)

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class SeenConnector:
    """A connector of the running core: its mode there, a stand-in's address (``None``: the exchange itself), account.

    ``orders`` are those in flight and the newest that ended, with their fills; ``totals`` run over all fills.
    """

    name: str
    mode: str
    url: str | None = None
    balances: Mapping[str, Balance] = field(default_factory=dict)
    orders: tuple[InFlightOrder, ...] = ()
    totals: tuple[PairTotals, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenCore:
    """A running core as its file has it; ``written`` in seconds since the epoch, ``health`` plain values by name."""

    instance: Instance
    written: float
    running: bool = False
    trading_state: str = ""
    reason: str = ""
    strategy: str = ""
    health: Mapping[str, Any] = field(default_factory=dict)
    connectors: Mapping[str, SeenConnector] = field(default_factory=dict)


class StateFile:
    """The file at ``path``: written whole or not at all, from any thread; after ``remove`` it is not written again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._removed = False

    def write(self, content: Mapping[str, Any]) -> None:
        """Write what ``SeenCore`` has, as JSON values, in place of what is there; raises ``OSError``."""
        data = dumps({"version": VERSION, **content})
        with self._lock:
            if not self._removed:
                write_whole(self.path, data, lasting=False)

    def remove(self) -> None:
        """Take the file away: nobody runs the core any more."""
        with self._lock, contextlib.suppress(OSError):
            self._removed = True
            self.path.unlink(missing_ok=True)

    def read(self) -> SeenCore | None:
        """Return what is in it; ``None`` where there is no file or another version of the kit wrote it."""
        try:
            content = orjson.loads(self.path.read_bytes())
            return _seen(content) if content.get("version") == VERSION else None
        except (OSError, ValueError, AttributeError, KeyError, TypeError, InvalidInput) as error:
            if not isinstance(error, FileNotFoundError):
                logger.info("%s does not read: %s", self.path, error)
            return None


def connector_entry(
    name: str,
    mode: str,
    url: str | None,
    balances: Mapping[str, Balance],
    orders: list[dict[str, Any]],
    totals: Mapping[str, PairTotals],
) -> dict[str, Any]:
    """Return a connector as it stands in the file; of an address that may hold a secret nothing is told."""
    return {
        "name": name,
        "mode": mode,
        "url": None if url is None or "@" in url or "?" in url else url,
        "balances": {asset: asdict(balance) for asset, balance in balances.items()},
        "orders": orders,
        "totals": [asdict(entry) for entry in totals.values()],
    }


def _seen(content: Mapping[str, Any]) -> SeenCore:
    connectors = [_seen_connector(entry) for entry in content["connectors"]]
    plain = ("written", "running", "trading_state", "reason", "strategy", "health")
    return SeenCore(
        instance=Instance(**content["instance"]),
        connectors={connector.name: connector for connector in connectors},
        **{name: content[name] for name in plain},
    )


def _seen_connector(entry: Mapping[str, Any]) -> SeenConnector:
    return SeenConnector(
        entry["name"],
        entry["mode"],
        entry["url"],
        {asset: build(Balance, balance) for asset, balance in entry["balances"].items()},
        tuple([InFlightOrder.from_dict(order) for order in entry["orders"]]),
        tuple([build(PairTotals, totals) for totals in entry["totals"]]),
    )
