"""What models of panels share: those of a core, those of a book, and those that send all they show or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kit.core.affinity import LoopAffinity
from kit.notebook.book_source import BookSource
from kit.notebook.panel import Frame

if TYPE_CHECKING:
    from kit.connectors.connector import Connector
    from kit.trading_core import TradingCore


class CoreModel:
    """A model of ``what`` a core has; it ends with the core."""

    def __init__(self, core: TradingCore, what: str) -> None:
        self.core = core
        self.name = f"{what} of {core.name}"

    @property
    def affinity(self) -> LoopAffinity:
        """Return the hop to the core's loop."""
        return self.core.affinity

    @property
    def ended(self) -> bool:
        """Tell whether the core was stopped."""
        return not self.core.in_use


class BookModel:
    """A model of ``what`` one book shows; it ends with the connector. Raises ``UnknownPair``."""

    def __init__(self, market: Connector, pair: str, what: str) -> None:
        self.source = BookSource(market, pair)
        self.name = f"{what} of {self.source.pair}"

    @property
    def affinity(self) -> LoopAffinity:
        """Return the hop to the core's loop."""
        return self.source.affinity

    @property
    def ended(self) -> bool:
        """Tell whether the connector was closed."""
        return self.source.ended


class WholeFrames:
    """A model whose frames hold all that ``_read`` returns."""

    _last: dict[str, Any] | None = None

    def frame(self, full: bool) -> Frame | None:
        """Return all there is, ``None`` when it is the same still."""
        now = self._read()
        if not full and now == self._last:
            return None
        self._last = now
        return Frame(now)

    def _read(self) -> dict[str, Any]:
        raise NotImplementedError
