"""What a paper account is asked to be: its money and the models of its exchange; checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from kit.errors import InvalidInput
from kit.simulation.ledger import checked_balances
from kit.simulation.models import find_model
from kit.types.market import TradingRule

DEFAULT_BALANCE: Final = Decimal(10_000)
"""What a paper account begins with of each pair's quote asset when no balances are given; it has no base asset then."""


@dataclass(frozen=True)
class PaperSettings:
    """Starting balances (``None``: the default) and models (``None``: the simulated venue's defaults)."""

    balances: tuple[tuple[str, Decimal], ...] | None = None
    latency: Any = None
    queue: Any = None
    exchange: Any = None
    fees: Any = None

    @classmethod
    def checked(cls, balances: Mapping[str, object] | None = None, **models: Any) -> PaperSettings:
        """Check what a user gave; models are given as to a backtest, see ``find_model``.

        Raises ``InvalidInput`` for amounts that are none and things that are no models.
        """
        models = {role: find_model(role, given) for role, given in models.items()}
        money = None if balances is None else tuple(sorted(checked_balances(balances).items()))
        return cls(money, **models)

    def starting(self, trading_pairs: Iterable[str]) -> dict[str, Decimal]:
        """Return the starting balances for an account that trades these pairs."""
        if self.balances is not None:
            return dict(self.balances)
        return {pair.partition("/")[2].partition(":")[0]: DEFAULT_BALANCE for pair in trading_pairs}

    def check_assets(self, exchange: str, rules: Mapping[str, TradingRule]) -> None:
        """Raise ``InvalidInput`` for an asset that the exchange does not trade."""
        known = {asset for rule in rules.values() for asset in (rule.base_asset, rule.quote_asset)}
        for asset, _ in self.balances or ():
            if asset not in known:
                raise InvalidInput(
                    f"balances names {asset!r}, which {exchange} does not trade; it trades "
                    f"{', '.join(sorted(known)[:12])}{' and others' if len(known) > 12 else ''}"
                )
