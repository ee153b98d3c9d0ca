"""Made-up runs: a random price, fills around it, balances that follow from them."""

from decimal import Decimal

import numpy as np

from kit.backtest.run_record import Account, BacktestRun, Market
from kit.orders.in_flight_order import InFlightOrder
from kit.types.events import OrderFilledEvent
from kit.types.market import TradeType, TradingRule
from kit.types.orders import OrderState, OrderType, TokenAmount, TradeFee, TradeUpdate

START = 1_723_161_600.0


def rule(pair):
    base, quote = pair.split("/")
    return TradingRule(pair, base, quote, Decimal("0.01"), Decimal("0.001"))


def market(pair="BTC/USDT", connector="binance"):
    return Market(connector, pair, rule(pair))


def fill(time, side, price, amount, *, pair="BTC/USDT", fee=None, order_id="o"):
    fees = () if fee is None else (TokenAmount(fee[1], Decimal(str(fee[0]))),)
    kind = TradeType.BUY if side == "buy" else TradeType.SELL
    price, amount = Decimal(str(price)), Decimal(str(amount))
    return OrderFilledEvent(time, order_id, pair, kind, OrderType.LIMIT, price, amount, TradeFee(fees))


def order(time, side, price, amount, executed=0, *, pair="BTC/USDT", order_id="o"):
    kind = TradeType.BUY if side == "buy" else TradeType.SELL
    made = InFlightOrder(
        client_order_id=order_id,
        trading_pair=pair,
        trade_type=kind,
        order_type=OrderType.LIMIT,
        amount=Decimal(str(amount)),
        price=Decimal(str(price)),
        creation_timestamp=time,
        progress=OrderState.OPEN,
    )
    if executed:
        done = Decimal(str(executed))
        made.update_with_trade_update(
            TradeUpdate(f"t{order_id}", pair, time, made.price, done, made.price * done, client_order_id=order_id)
        )
    return made


def random_run(seconds=600, every=10, seed=0, *, edge=2.0, fee="0.0002", data_id="made-up", drift=0.0, **options):
    """One market, one-second samples, a fill every ``every`` seconds ``edge`` away from the mid price."""
    rng = np.random.default_rng(seed)
    mids = np.round(60_000 + np.cumsum(rng.normal(drift, 3, seconds)), 2)
    base, quote = Account("binance", "BTC"), Account("binance", "USDT")
    held = {base: Decimal(1), quote: Decimal(60_000)}
    assumptions = {
        "data": f"binance BTC/USDT, {seconds} s, made up",
        "queue": "probability of power 3",
        "latency": "entry 10 ms, response 10 ms",
        "fees": f"maker {fee}",
        "exchange": "partial fills",
    }
    settings = {"strategy": "Made up", "assumptions": assumptions, "parameters": {"edge": str(edge)}} | options
    run = BacktestRun(
        markets=[market()], accounts=[base, quote], initial_balances=dict(held), data_id=data_id, **settings
    )
    for second in range(seconds):
        time = START + second
        run.samples.add(time, [mids[second]], [float(held[base]), float(held[quote])])
        if every and second % every == every - 1:
            side = "buy" if rng.random() < 0.5 else "sell"
            sign = 1 if side == "buy" else -1
            price = Decimal(str(round(float(mids[second]) - sign * edge, 2)))
            amount, key = Decimal("0.01"), f"o{second}"
            paid = price * amount * Decimal(fee)
            held[base] += sign * amount
            held[quote] -= sign * amount * price + paid
            event = fill(time + 0.5, side, price, amount, fee=(paid, "USDT"), order_id=key)
            run.add_decision(time - 1, "binance", "place", key, "BTC/USDT", side, OrderType.LIMIT, price, amount)
            run.orders.append(("binance", order(time - 1, side, price, "0.02", amount, order_id=key)))
            run.add_fill("binance", event, float(mids[second]))
    run.samples.add(START + seconds, [mids[-1]], [float(held[base]), float(held[quote])])
    run.final_balances = held
    run.started, run.ended = START, START + seconds
    return run
