"""How strategies and their parameters show themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kit.core.clock import SYSTEM_TIME
from kit.errors import KitError
from kit.notebook.controls_model import FIRST
from kit.notebook.drawing import Drawing
from kit.notebook.formats import escape, html_table, split_pair
from kit.notebook.html_parts import quantity, stack, title, word
from kit.notebook.param_text import ParamText
from kit.strategy.strategy_base import still_in_flight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kit.notebook.widgets import LiveWidget
    from kit.strategy.live_params import LiveParams
    from kit.strategy.params import Params
    from kit.strategy.strategy_base import StrategyBase


def draw_strategy(strategy: StrategyBase) -> Drawing:
    """Draw state, parameters and, where the strategy has it, why it quotes what it quotes."""
    if strategy.paused:
        state = word(f"paused: {strategy.pause_reason}" if strategy.pause_reason else "paused", "warn")
    else:
        state = word("running", "good") if strategy.clock is not None else "stopped"
    places = ", ".join(escape(market.name) for market in strategy.markets) or "no market"
    error = strategy.last_error
    head = title(
        strategy.name,
        f"{places} {escape(_pair(strategy))}".strip(),
        state,
        quantity(len(still_in_flight(strategy)), "order"),
        word(f"last error: {error}", "bad") if error is not None else "",
    )
    values, pending = strategy.params.model, strategy.params.pending
    table = _table(values, pending, strategy)
    told = _explanation(strategy)
    text = "\n".join([repr(strategy), repr(strategy.params), *([repr(told)] if told is not None else [])])
    why: str = "" if told is None else told._repr_html_()  # the name that notebooks ask for
    return Drawing(stack(head, table, why), text, live=lambda: _panel(strategy))


def _pair(strategy: StrategyBase) -> str:
    try:
        return strategy.trading_pair
    except KitError:  # no market yet, or several pairs
        return ""


def _explanation(strategy: StrategyBase) -> Any:
    explain = getattr(strategy, "explain", None)
    found = explain() if callable(explain) else None
    return found if hasattr(found, "_repr_html_") else None


def _panel(strategy: StrategyBase) -> LiveWidget:
    from kit.notebook.strategy_model import StrategyModel
    from kit.notebook.widgets import StrategyWidget

    return StrategyWidget(StrategyModel(strategy, SYSTEM_TIME.monotonic))


def draw_live_params(params: LiveParams) -> Drawing:
    """Draw parameters with what is queued for the next tick."""
    name = type(params.model).__qualname__.rpartition("<locals>.")[2]
    return Drawing(stack(title(name), _table(params.model, params.pending)), repr(params))


def draw_params(params: Params) -> Drawing:
    """Draw a set of parameters."""
    name = type(params).__qualname__.rpartition("<locals>.")[2]
    return Drawing(stack(title(name), _table(params, {})), repr(params))


def _table(values: Params, pending: Mapping[str, Any], strategy: StrategyBase | None = None) -> str:
    pair = _pair(strategy) if strategy is not None else ""
    units = dict(zip(("base", "quote"), split_pair(pair), strict=True)) if pair else {}
    chosen: list[list[str]] = []
    rest: list[list[str]] = []
    for field in type(values).describe():
        text = ParamText(field, units)
        value = getattr(values, field.name)
        shown = _shown(text, value)
        if field.name in pending:
            shown += " " + word(f"→ {_shown(text, pending[field.name])} on the next tick", "warn")
        at_default = not field.required and value == field.default and field.name not in pending
        (rest if at_default else chosen).append([escape(field.name), shown, escape(field.doc)])
    if len(rest) <= FIRST:
        return _rows([*chosen, *rest])
    more = f"{quantity(len(rest), 'parameter')} at their default"
    folded = f'<details style="padding:2px 8px"><summary>{more}</summary>{_rows(rest)}</details>'
    return _rows(chosen) + folded


def _rows(rows: list[list[str]]) -> str:
    return html_table(["parameter", "value", "meaning"], rows, sides="nll") if rows else ""


def _shown(text: ParamText, value: Any) -> str:
    written = text.write(value)
    if not written:
        return "off" if text.field.optional else "''"
    return escape(f"{written} {text.unit}".strip())
