"""What every account of a core holds, valued where a price is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kit.errors import NotSupported
from kit.notebook.core_model import CoreModel, WholeFrames
from kit.notebook.formats import decimals_of, escape, exact, html_table, money_decimals, number, split_pair
from kit.notebook.html_parts import bar, quantity, soft, stack, title, word

if TYPE_CHECKING:
    from kit.connectors.connector import Connector
    from kit.trading_core import TradingCore

MAX_ROWS: Final = 60
"""Assets that an account shows; those of its pairs come first."""

_ZERO: Final = Decimal(0)


class Holding(NamedTuple):
    """An asset of an account as texts: ``exact`` to the last digit, ``worth`` in quote, ``free`` in per mille."""

    connector: str
    mode: str
    asset: str
    total: str
    available: str
    used: str
    worth: str
    exact: str
    free: int


class BalancesModel(WholeFrames, CoreModel):
    """The accounts that a core trades with, one row an asset, those of its pairs first."""

    def __init__(self, core: TradingCore) -> None:
        super().__init__(core, "balances")

    def _read(self) -> dict[str, Any]:
        rows: list[Holding] = []
        more, quote = 0, ""
        for name, connector in self.core.connectors.items():
            # A view of a core that another process runs has balances of that one.
            seen = self.core.read_only is not None and connector.balances.assets
            if connector.mode == "data" and not seen:
                continue
            assets = assets_of(connector)
            rows += holdings(name, connector, assets[:MAX_ROWS])
            more += len(assets[MAX_ROWS:])
            quote = quote or _quote(connector)
        return {
            "core": self.core.name,
            "state": "" if self.core.in_use else "stopped",
            "quote": quote,
            "more": more,
            "rows": [list(row) for row in rows],
        }

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Refuse: nothing can be asked of balances."""
        raise NotSupported(f"balances take no command {message.get('do')!r}")

    def text(self) -> str:
        """Return a line an asset."""
        rows = [Holding(*row) for row in self._read()["rows"]]
        lines = [
            f"  {row.asset}: {row.total} total, {row.available} available ({row.connector} {row.mode})" for row in rows
        ]
        return "\n".join([self.name if lines else f"{self.name}: no account yet", *lines])

    def html(self) -> str:
        """Return the table with bars of what is free."""
        now = self._read()
        rows = [Holding(*row) for row in now["rows"]]
        if not rows:
            return stack(title(self.name, soft("no account yet")))
        cells = [
            [
                f"<b>{escape(row.asset)}</b>",
                f"{escape(row.connector)} {word(row.mode, 'bad' if row.mode == 'live' else '')}",
                escape(row.total),
                escape(row.available),
                escape(row.used),
                escape(row.worth),
                bar(row.free / 1000, "currentColor", 6),
            ]
            for row in rows
        ]
        head = ["asset", "account", "total", "available", "in orders", f"worth [{now['quote']}]", "free"]
        left = soft(f"and {quantity(now['more'], 'more asset')}") if now["more"] else ""
        return stack(title(self.name, left), html_table(head, cells, sides="nnrrrrn"))


def _quote(connector: Connector) -> str:
    return split_pair(connector.trading_pairs[0])[1] if connector.trading_pairs else ""


def assets_of(connector: Connector) -> list[str]:
    """Return what a connector's account holds: the assets of its pairs, then all else that is not zero."""
    balances = connector.balances
    pairs = dict.fromkeys(asset for pair in connector.trading_pairs for asset in split_pair(pair))
    return [*pairs, *(asset for asset in balances.assets if asset not in pairs and balances.total(asset))]


def holdings(name: str, connector: Connector, assets: Iterable[str]) -> Iterator[Holding]:
    """Yield how these assets of a connector's account stand."""
    balances = connector.balances
    for asset in assets:
        total, available = balances.total(asset), balances.available(asset)
        decimals = _decimals(connector, asset)
        worth = _worth(connector, asset, total)
        used = total - available
        yield Holding(
            name,
            connector.mode,
            asset,
            _written(total, decimals),
            _written(available, decimals),
            _written(used, decimals) if used > 0 else "—",
            number(worth, money_decimals(_quote(connector), 2)) if worth is not None else "—",
            f"{exact(total)} {asset}, {exact(available)} available",
            round(1000 * available / total) if total > 0 else 0,
        )


def _written(value: Decimal, decimals: int | None) -> str:
    return exact(value) if decimals is None else number(value, decimals)


def _decimals(connector: Connector, asset: str) -> int | None:
    """Return the decimals that rules of streamed pairs give an asset, ``None`` where none names it."""
    for pair in connector.trading_pairs:
        base, quote = split_pair(pair)
        rule = connector.trading_rules.get(pair)
        if asset == quote:
            return money_decimals(quote, decimals_of(rule.min_price_increment if rule else None, 2))
        if asset == base:
            return decimals_of(rule.min_base_amount_increment if rule else None, 6)
    return None


def _worth(connector: Connector, asset: str, total: Decimal) -> Decimal | None:
    """Return what an amount is worth in the quote of the first pair, ``None`` where no streamed pair tells."""
    wanted = _quote(connector)
    if asset == wanted:
        return total
    for pair in connector.trading_pairs:
        if split_pair(pair) == (asset, wanted):
            mid = connector.get_mid_price(pair)
            return total * mid if mid.is_finite() else None
    return _ZERO if not total else None
