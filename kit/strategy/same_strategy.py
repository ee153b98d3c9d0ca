"""Tells whether a strategy is another one made anew, as by a cell that is run again."""

from __future__ import annotations

from kit.core.redefined import same_source, same_value
from kit.strategy.strategy_base import StrategyBase


def same_strategy(old: StrategyBase, new: StrategyBase | None) -> bool:
    """Tell whether ``new`` has the class (or its source), arguments, markets and applied parameters of ``old``.

    Nothing may be queued on either side. Arguments that cannot be compared count as different.
    """
    if new is None or not same_source(type(new), type(old)):
        return False
    (args, kwargs), (old_args, old_kwargs) = new.made_with, old.made_with
    return (
        new.name == old.name
        and new.markets == old.markets
        and len(args) == len(old_args)
        and all(same_value(mine, theirs) for mine, theirs in zip(args, old_args, strict=True))
        and kwargs.keys() == old_kwargs.keys()
        and all(same_value(kwargs[name], old_kwargs[name]) for name in kwargs)
        and new.params.model.values() == old.params.model.values()
        and not (new.params.pending or old.params.pending)
    )
