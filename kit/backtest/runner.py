"""``kit.backtest``: a strategy, data, and how the simulated exchange shall be; a result."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from kit.backtest.config import BacktestConfig, read_config
from kit.backtest.data import MarketData, gather
from kit.backtest.moments import seconds_of
from kit.backtest.plan import make_plan
from kit.backtest.result import Result
from kit.backtest.session import Session
from kit.errors import InvalidInput
from kit.simulation.models import check_exchanges, find_model, of_exchange


def backtest(
    strategy: Any,
    data: Any = None,
    *,
    start: Any = None,
    end: Any = None,
    balances: Mapping[str, Any] | None = None,
    fees: Any = None,
    queue: Any = None,
    latency: Any = None,
    exchange: Any = None,
    rules: Any = None,
    tick_size: float = 1.0,
    seed: int = 0,
    progress: bool = True,
    params: Mapping[str, Any] | None = None,
    **parameters: Any,
) -> Result:
    """Run a strategy on recorded order books and return what came of it, as a ``Result`` that shows itself.

    ``strategy`` is a class derived from ``kit.Strategy``, made with the data's market and pair and with ``params`` and
    ``parameters``; or a function of the connectors by exchange (``markets["binance"]``) that returns a strategy; or a
    configuration, a mapping or the path of a TOML file (``kit.backtest.config``), over which other arguments go.

    ``data``: ``MarketEvents``, a recording, paths, or ``{exchange: {pair: one of these}}`` for several pairs and
    exchanges at once, replayed in one time order. ``start`` and ``end`` are seconds since the epoch, datetimes or ISO
    texts in UTC; the book is built up from the data before ``start``, of a recording from the last whole book there.
    ``balances`` by asset (by exchange and asset for several exchanges); ``None`` assumes 100,000 in quote and as much
    in base, which the result says.

    ``fees`` (``None``: the rules'), ``queue``, ``latency`` (seconds) and ``exchange`` are models of ``kit.simulation``,
    their names, or either by exchange; ``rules`` trading rules by pair where the data tell none. ``tick_size`` is the
    clock's, seconds. The same arguments give the same result, byte for byte; ``seed`` changes client order ids only.

    Hooks and ticks see what was known at their local time. Raises ``InvalidInput`` and ``InsufficientBalance`` before
    anything runs, ``BacktestError`` when the strategy throws, with the tick's time and the original as its cause.
    """
    config = merge(
        strategy,
        _named(params, parameters),
        data=data,
        start=start,
        end=end,
        balances=balances,
        fees=fees,
        queue=queue,
        latency=latency,
        exchange=exchange,
        rules=rules,
        tick_size=tick_size,
        seed=seed,
    )
    session = prepare(config)
    with contextlib.closing(session), _progress(session.ticks, progress) as show:
        for done in session.steps():
            show(done)
    return Result(session.run)


async def backtest_async(
    strategy: Any,
    data: Any = None,
    *,
    start: Any = None,
    end: Any = None,
    balances: Mapping[str, Any] | None = None,
    fees: Any = None,
    queue: Any = None,
    latency: Any = None,
    exchange: Any = None,
    rules: Any = None,
    tick_size: float = 1.0,
    seed: int = 0,
    progress: bool = True,
    params: Mapping[str, Any] | None = None,
    **parameters: Any,
) -> Result:
    """Run a backtest as ``backtest`` does; other tasks of the loop get their turn every few hundredths of a second.

    Data are read and converted in a thread. Cancelling ends the run and leaves nothing behind.
    """
    config = merge(
        strategy,
        _named(params, parameters),
        data=data,
        start=start,
        end=end,
        balances=balances,
        fees=fees,
        queue=queue,
        latency=latency,
        exchange=exchange,
        rules=rules,
        tick_size=tick_size,
        seed=seed,
    )
    session = await asyncio.to_thread(prepare, config)
    with contextlib.closing(session), _progress(session.ticks, progress) as show:
        for done in session.steps():
            show(done)
            await asyncio.sleep(0)
    return Result(session.run)


def _named(params: Mapping[str, Any] | None, parameters: Mapping[str, Any]) -> dict[str, Any]:
    if params is not None and not isinstance(params, Mapping):
        raise InvalidInput(
            f"params is {params!r}; give the strategy's parameters by name, as in {{'bid_spread': '0.001'}}"
        )
    return {**(params or {}), **parameters}


def merge(strategy: Any, parameters: Mapping[str, Any], **given: Any) -> BacktestConfig:
    """Return what to run: a configuration, where ``strategy`` is one, and over it what else was given."""
    if isinstance(strategy, BacktestConfig):
        config = strategy
    elif isinstance(strategy, str | Path | Mapping):
        config = read_config(strategy)
    else:
        config = BacktestConfig(strategy)
    # A default is no wish: it leaves the configuration's own value.
    changes = {name: value for name, value in given.items() if not _is_default(name, value)}
    return replace(config, **changes, params={**config.params, **parameters})


def _is_default(name: str, value: Any) -> bool:
    default = _DEFAULTS[name]
    # By type first: a table's or an array's comparison is no yes or no.
    return value is default or (type(value) is type(default) and bool(value == default))


def prepare(config: BacktestConfig) -> Session:
    """Check everything and put the run together."""
    if config.data is None:
        raise InvalidInput("there are no data: give data=…, a recording, a path, MarketEvents or {exchange: {pair: …}}")
    span = (seconds_of("start", config.start), seconds_of("end", config.end))
    found = gather(config.data, config.rules, span=span)
    models = {"queue": config.queue, "latency": config.latency, "exchange": config.exchange}
    for name, given in {"fees": config.fees, **models}.items():
        check_exchanges(name, given, {market.exchange for market in found})
    plan = make_plan(
        [_with_fees(market, config.fees) for market in found],
        start=config.start,
        end=config.end,
        balances=config.balances,
        tick_size=config.tick_size,
        seed=config.seed,
    )
    params = dict(config.params)
    if config.trading_pair is not None:
        params["trading_pair"] = config.trading_pair
    return Session(plan, config.strategy, models, params)


def _with_fees(market: MarketData, given: Any) -> MarketData:
    """Return the market with the fees that were asked for in its rule, where a strategy looks for them, too."""
    fees = find_model("fees", of_exchange(given, market.exchange))
    if fees is None:
        return market
    return replace(market, rule=replace(market.rule, maker_fee=fees.maker, taker_fee=fees.taker))


@contextlib.contextmanager
def _progress(total: int, shown: bool) -> Iterator[Callable[[int], None]]:
    if not shown:
        yield lambda _: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, unit="tick", unit_scale=True, leave=False, desc="backtest") as bar:
        yield lambda done: bar.update(done - bar.n) and None
        bar.total = bar.n  # a run may have fewer ticks than there is room for; an unfilled bar would stay, and be red


_DEFAULTS: Final = {item.name: item.default for item in fields(BacktestConfig)}
