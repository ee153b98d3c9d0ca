"""Ten thousand ways in which the same news can arrive, and what must be true of each."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from kit.core.pubsub import PubSub
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.types.market import TradeType
from kit.types.orders import CancelFailed, OrderState, OrderUpdate, TradeUpdate
from tests.support.orders import NOW, PAIR, Recorder, make_order, make_trade, make_update

S = OrderState
SEEDS_PER_BLOCK = 1000
LETTER = {"Created": "N", "Filled": "f", "Completed": "C", "Cancelled": "X", "Expired": "E", "Failure": "F"}
# Created, Filled…, one end, and fills that came too late for their end to wait for them.
ONE_LIFE = re.compile(r"(N(f*([CXEF]f*)?)?)?|F")
# A failure may be followed by a life; Created is not repeated.
LIVES = re.compile(r"F?(N[fF]*([CXE]f*)?)?")


@dataclass
class Truth:
    """What really happened to one order on the exchange."""

    order_id: str
    amount: Decimal
    fills: list[TradeUpdate]
    end: OrderState
    states_filled: bool
    messages: list[OrderUpdate | TradeUpdate]

    @property
    def executed(self) -> Decimal:
        return sum((fill.amount for fill in self.fills), Decimal(0))


def history(rng: random.Random, order_id: str) -> Truth:
    """Invent the life of an order and the messages that the exchange sends of it, in true order."""
    exchange_id = f"X-{order_id}"
    steps = rng.randint(1, 5)
    amount = Decimal(rng.randint(steps, 10**9)).scaleb(-8)
    cuts = sorted({Decimal(rng.randint(1, int(amount.scaleb(8)))).scaleb(-8) for _ in range(steps)} | {amount})
    sizes = [after - before for before, after in zip([Decimal(0), *cuts], cuts, strict=False)]
    end = rng.choice([S.FILLED, S.CANCELED, S.EXPIRED])
    if end is not S.FILLED:
        sizes = sizes[: rng.randint(0, len(sizes) - 1)]
    states_filled = rng.random() < 0.7
    fills, executed = [], Decimal(0)
    messages: list[OrderUpdate | TradeUpdate] = [make_update(S.OPEN, order_id, exchange_order_id=exchange_id)]
    for number, size in enumerate(sizes):
        # Trade ids repeat between orders of other pairs, never here; prices have many digits.
        price = str(Decimal(rng.randint(1, 10**7)).scaleb(-3))
        fill = make_trade(f"{order_id}-{number}", str(size), order_id, price, exchange_order_id=exchange_id)
        fill = replace(fill, timestamp=NOW + number)
        executed += size
        stated = executed if states_filled else None
        partial = make_update(S.PARTIALLY_FILLED, order_id, exchange_order_id=exchange_id, filled=stated)
        fills.append(fill)
        messages += [fill, partial]
    messages.append(
        make_update(end, order_id, exchange_order_id=exchange_id, filled=executed if states_filled else None)
    )
    return Truth(order_id, amount, fills, end, states_filled, messages)


def with_some_ids(rng: random.Random, truth: Truth) -> list[OrderUpdate | TradeUpdate]:
    """Let messages name the order by one id or by both, at least one of them by both."""
    told = []
    both = rng.randrange(len(truth.messages))
    for number, message in enumerate(truth.messages):
        kind = "both" if number == both else rng.choice(["both", "client", "exchange"])
        client_id = None if kind == "exchange" else message.client_order_id
        told.append(
            replace(
                message,
                client_order_id=client_id,
                exchange_order_id=None if kind == "client" else message.exchange_order_id,
            )
        )
    return told


def disturbed(rng: random.Random, messages: list[OrderUpdate | TradeUpdate]) -> list[OrderUpdate | TradeUpdate]:
    """Duplicate some messages and delay them all by random amounts: from in order to wholly shuffled."""
    spread = rng.choice([0.0, 1.0, 4.0, 100.0])
    timed = [(number + rng.random() * spread, rng.random(), message) for number, message in enumerate(messages)]
    for number, message in enumerate(messages):
        if rng.random() < 0.3:
            timed.append((number + rng.random() * 20, rng.random(), message))
    return [message for _, _, message in sorted(timed, key=lambda item: item[:2])]


def word(recorder: Recorder, order_id: str) -> str:
    return "".join(LETTER[name] for name in recorder.names(order_id))


def shelves(tracker: ClientOrderTracker, order_id: str) -> list[str]:
    kept = {"active": tracker.active_orders, "cached": tracker.cached_orders, "lost": tracker.lost_orders}
    return [name for name, orders in kept.items() if order_id in orders]


def deliver(tracker: ClientOrderTracker, message: OrderUpdate | TradeUpdate | CancelFailed) -> None:
    if isinstance(message, OrderUpdate):
        tracker.process_order_update(message)
    elif isinstance(message, TradeUpdate):
        tracker.process_trade_update(message)
    else:
        tracker.process_cancel_failed(message)


def setup(rng: random.Random) -> tuple[ClientOrderTracker, Recorder, list[Truth]]:
    pubsub = PubSub()
    tracker = ClientOrderTracker(pubsub, time=lambda: NOW)
    truths = [history(rng, f"o{number}") for number in range(rng.randint(1, 3))]
    for truth in truths:
        side = rng.choice(list(TradeType))
        tracker.start_tracking_order(make_order(truth.order_id, amount=truth.amount, trade_type=side))
    return tracker, Recorder(pubsub), truths


def own_words(rng: random.Random, truth: Truth) -> list[OrderUpdate | CancelFailed]:
    """Our own side's messages that may come at any time: lost answers, cancels sent, cancels failed."""
    ours = {"exchange_order_id": None}
    return rng.choices(
        [
            make_update(S.UNKNOWN, truth.order_id, **ours),
            make_update(S.PENDING_CANCEL, truth.order_id, **ours),
            CancelFailed(truth.order_id, PAIR, NOW, "late", ambiguous=rng.random() < 0.5),
        ],
        k=rng.randint(0, 3),
    )


def run_one(seed: int) -> None:
    rng = random.Random(seed)
    tracker, recorder, truths = setup(rng)
    messages: list[OrderUpdate | TradeUpdate] = []
    for truth in truths:
        messages += with_some_ids(rng, truth)
    stream: list[OrderUpdate | TradeUpdate | CancelFailed] = [*disturbed(rng, messages)]
    for truth in truths:
        for message in own_words(rng, truth):
            stream.insert(rng.randint(0, len(stream)), message)
    events = -1
    for message in stream:
        deliver(tracker, message)
        if len(recorder.events) == events:
            continue
        events = len(recorder.events)
        for truth in truths:
            told = word(recorder, truth.order_id)
            assert ONE_LIFE.fullmatch(told), told
            ended = bool(re.search("[CXEF]", told))
            assert shelves(tracker, truth.order_id) == (["cached"] if ended else ["active"])
    for truth in truths:
        check_outcome(tracker, recorder, truth)


def check_outcome(tracker: ClientOrderTracker, recorder: Recorder, truth: Truth) -> None:
    order = tracker.fetch_order(truth.order_id)
    assert order is not None
    told = word(recorder, truth.order_id)
    assert order.current_state is truth.end
    assert order.executed_amount_base == truth.executed
    assert order.executed_amount_quote == sum((fill.quote_amount for fill in truth.fills), Decimal(0))
    filled = [event for event in recorder.of("Filled") if event.order_id == truth.order_id]
    assert sorted(event.exchange_trade_id for event in filled) == sorted(fill.trade_id for fill in truth.fills)
    assert sum((event.amount for event in filled), Decimal(0)) == truth.executed
    end = {S.FILLED: "C", S.CANCELED: "X", S.EXPIRED: "E"}[truth.end]
    assert told.count(end) == 1
    late = not told.endswith(end)
    assert order.filled_after_end is late
    # Where the exchange says how much was executed, or that all was, no end is told too early.
    assert not (late and (truth.states_filled or truth.end is S.FILLED))
    assert not order.overfilled
    assert order.missing_amount == 0


@pytest.mark.parametrize("block", range(10))
def test_ten_thousand_interleavings(block: int) -> None:
    for seed in range(block * SEEDS_PER_BLOCK, (block + 1) * SEEDS_PER_BLOCK):
        try:
            run_one(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_lost_and_refused_orders_never_leave_tracking_and_come_back_with_evidence() -> None:
    for seed in range(1000):
        rng = random.Random(seed)
        tracker, recorder, truths = setup(rng)
        stream: list[OrderUpdate | TradeUpdate | CancelFailed | str] = []
        for truth in truths:
            stream += disturbed(rng, truth.messages)
        for truth in truths:
            for _ in range(rng.randint(0, 8)):
                failed = make_update(S.FAILED, truth.order_id, exchange_order_id=None)
                stream.insert(rng.randint(0, len(stream)), rng.choice([truth.order_id, failed]))
        for message in stream:
            if isinstance(message, str):
                tracker.process_order_not_found(message)
            else:
                deliver(tracker, message)
            for truth in truths:
                order = tracker.fetch_order(truth.order_id)
                assert order is not None, f"seed {seed}: forgotten"
                assert len(shelves(tracker, truth.order_id)) == 1
                assert LIVES.fullmatch(word(recorder, truth.order_id)), f"seed {seed}: {word(recorder, truth.order_id)}"
                if order.is_open:
                    assert shelves(tracker, truth.order_id) == ["active"], f"seed {seed}: open but not active"
        for truth in truths:
            order = tracker.fetch_order(truth.order_id)
            told = word(recorder, truth.order_id)
            assert order is not None
            assert order.executed_amount_base == truth.executed
            assert told.count("N") == 1
            assert told.count("f") == len(truth.fills)
            if not truth.states_filled and order.progress is S.FAILED:
                continue
            assert order.current_state in {truth.end, S.FAILED, S.OPEN, S.PARTIALLY_FILLED}
