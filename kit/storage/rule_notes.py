"""Trading rules among the notes of a recording, so that a backtest of it needs nothing else."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Final

from kit.types.market import TradingRule

RULE: Final = "trading_rule"
"""The key in ``MarketEvents.info``; the value is a JSON object with the fields of ``TradingRule``, numbers as text."""


def note_rule(rule: TradingRule | None) -> dict[str, str]:
    """Return the notes that tell a rule, none for ``None``."""
    if rule is None:
        return {}
    values = {item.name: getattr(rule, item.name) for item in fields(rule)}
    return {
        RULE: json.dumps(
            {name: value if isinstance(value, bool | str | None) else str(value) for name, value in values.items()}
        )
    }
