from __future__ import annotations

import random
from decimal import Decimal

import pytest

from kit.core.pubsub import PubSub
from kit.errors import InvalidInput
from kit.orders.balances import Balances
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.in_flight_order import InFlightOrder
from kit.types.market import TradeType
from kit.types.orders import Balance, BalanceUpdate, OrderState, OrderType
from tests.support.orders import NOW, make_order, make_trade, make_update

S = OrderState


def report(available: str, timestamp: float = 0.0, total: str = "1000", asset: str = "USDT") -> BalanceUpdate:
    return BalanceUpdate(asset, Balance(Decimal(total), Decimal(available)), timestamp)


@pytest.fixture
def balances() -> Balances:
    balances = Balances()
    balances.apply(report("1000", NOW))
    return balances


@pytest.fixture
def order(balances: Balances, tracker: ClientOrderTracker) -> InFlightOrder:
    """A buy that takes 100 of 1000 USDT, about to be sent."""
    tracker.add_observer(balances.observe)
    order = make_order()
    tracker.start_tracking_order(order)
    balances.hold(order)
    return order


def test_unknown_assets_are_empty() -> None:
    balances = Balances()
    assert balances.total("BTC") == balances.available("BTC") == balances.held("BTC") == 0
    assert balances.assets == ()


def test_a_sent_order_counts_at_once(balances: Balances, order: InFlightOrder) -> None:
    assert (balances.total("USDT"), balances.available("USDT"), balances.held("USDT")) == (1000, 900, 100)
    balances.hold(order)
    assert balances.held("USDT") == 100


def test_a_sell_holds_base_and_a_fee_on_top_is_held_too(balances: Balances) -> None:
    balances.apply(report("2", NOW, total="2", asset="BTC"))
    balances.hold(make_order("S", trade_type=TradeType.SELL))
    balances.hold(make_order("B"), fee_rate=Decimal("0.001"))
    assert balances.available("BTC") == 1
    assert balances.available("USDT") == Decimal("899.9")


def test_market_buys_hold_by_an_estimated_price(balances: Balances) -> None:
    market = make_order("M", order_type=OrderType.MARKET, price=None)
    balances.hold(market, price=Decimal(101))
    assert balances.available("USDT") == 899
    balances.hold(make_order("N", order_type=OrderType.MARKET, price=None))
    assert balances.available("USDT") == 899


class TestAcknowledgedThenReported:
    def test_by_the_exchanges_times(
        self, balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker
    ) -> None:
        tracker.process_order_update(make_update(S.OPEN, timestamp=NOW + 1))
        assert balances.available("USDT") == 900
        balances.apply(report("1000", NOW + 0.5))
        assert balances.available("USDT") == 900, "this report was made before the exchange took the order"
        balances.apply(report("900", NOW + 1))
        assert (balances.available("USDT"), balances.held("USDT")) == (900, 0)

    @pytest.mark.parametrize(("ack", "pushed"), [(0.0, NOW + 9), (NOW + 1, 0.0), (0.0, 0.0)])
    def test_by_arrival_where_a_time_is_missing(
        self, balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker, ack: float, pushed: float
    ) -> None:
        tracker.process_order_update(make_update(S.OPEN, timestamp=ack))
        balances.apply(report("900", pushed))
        assert balances.available("USDT") == 900


class TestReportedThenAcknowledged:
    def test_by_the_exchanges_times(
        self, balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker
    ) -> None:
        balances.apply(report("900", NOW + 1))
        assert balances.available("USDT") == 800, "not known yet to contain the order: low, not high"
        tracker.process_order_update(make_update(S.OPEN, timestamp=NOW + 1))
        assert balances.available("USDT") == 900

    def test_an_older_report_does_not_contain_it(
        self, balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker
    ) -> None:
        balances.apply(report("1000", NOW + 0.9))
        tracker.process_order_update(make_update(S.OPEN, timestamp=NOW + 1))
        assert balances.available("USDT") == 900

    def test_a_report_from_before_sending_does_not_contain_it_whatever_the_times_say(
        self, balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker
    ) -> None:
        tracker.process_order_update(make_update(S.OPEN, timestamp=NOW))
        assert balances.available("USDT") == 900

    def test_without_times_nothing_is_assumed(
        self, balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker
    ) -> None:
        balances.apply(report("900"))
        tracker.process_order_update(make_update(S.OPEN, timestamp=0.0))
        assert balances.available("USDT") == 800
        balances.apply(report("900"))
        assert balances.available("USDT") == 900


class TestSnapshots:
    def snapshot(self, available: str) -> dict[str, Balance]:
        return {"USDT": Balance(Decimal(1000), Decimal(available))}

    def test_asked_for_after_the_acknowledgement(
        self, balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker
    ) -> None:
        tracker.process_order_update(make_update(S.OPEN))
        asked_at = balances.begin_snapshot()
        balances.replace_all(self.snapshot("900"), asked_at=asked_at)
        assert balances.available("USDT") == 900

    def test_acknowledged_while_the_answer_was_on_its_way(
        self, balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker
    ) -> None:
        asked_at = balances.begin_snapshot()
        tracker.process_order_update(make_update(S.OPEN, timestamp=NOW + 1))
        balances.replace_all(self.snapshot("1000"), asked_at=asked_at)
        assert balances.available("USDT") == 900
        balances.replace_all(self.snapshot("900"))
        assert balances.available("USDT") == 900

    def test_a_push_while_the_answer_was_on_its_way_is_kept(
        self, balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker
    ) -> None:
        asked_at = balances.begin_snapshot()
        tracker.process_order_update(make_update(S.OPEN, timestamp=NOW + 1))
        balances.apply(report("900", NOW + 1))
        balances.replace_all(self.snapshot("1000"), asked_at=asked_at)
        assert balances.available("USDT") == 900

    def test_an_older_snapshot_does_not_replace_a_newer_one(self, balances: Balances) -> None:
        first, second = balances.begin_snapshot(), balances.begin_snapshot()
        balances.replace_all(self.snapshot("700"), asked_at=second)
        balances.replace_all(self.snapshot("600"), asked_at=first)
        assert balances.available("USDT") == 700

    def test_what_it_does_not_name_is_zero(self, balances: Balances) -> None:
        balances.replace_all({"BTC": Balance(Decimal(1), Decimal(1))})
        assert balances.total("USDT") == 0
        assert balances.assets == ("BTC", "USDT")

    def test_available_is_never_below_zero(self, balances: Balances, order: InFlightOrder) -> None:
        balances.replace_all({})
        assert balances.available("USDT") == 0


class TestEnds:
    @pytest.mark.parametrize("state", [S.FAILED, S.CANCELED, S.EXPIRED])
    def test_without_a_fill_the_hold_ends_at_once(
        self, balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker, state: OrderState
    ) -> None:
        tracker.process_order_update(make_update(state))
        assert balances.available("USDT") == 1000

    def test_filled_before_any_report_stays_held_until_one(
        self, balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker
    ) -> None:
        tracker.process_order_update(make_update(S.OPEN, timestamp=NOW + 1))
        tracker.process_trade_update(make_trade(timestamp=NOW + 1))
        assert order.is_done
        assert balances.available("USDT") == 900
        balances.apply(report("900", NOW + 1, total="900"))
        assert balances.available("USDT") == 900

    def test_partly_filled_and_cancelled_holds_what_was_spent(
        self, balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker
    ) -> None:
        tracker.process_order_update(make_update(S.OPEN, timestamp=NOW + 1))
        tracker.process_trade_update(make_trade("1", "0.3", timestamp=NOW + 1))
        tracker.process_order_update(make_update(S.CANCELED, filled=Decimal("0.3"), timestamp=NOW + 2))
        assert balances.held("USDT") == 30
        tracker.process_order_update(make_update(S.CANCELED, filled=Decimal("0.3"), timestamp=NOW + 2))
        assert balances.held("USDT") == 30
        balances.apply(report("970", NOW + 2, total="970"))
        assert balances.available("USDT") == 970

    def test_an_end_that_states_fills_not_seen_yet_keeps_holding(
        self, balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker
    ) -> None:
        tracker.process_order_update(make_update(S.FILLED))
        assert balances.available("USDT") == 900

    def test_a_market_order_counts_as_acknowledged_when_it_ends(
        self, balances: Balances, tracker: ClientOrderTracker
    ) -> None:
        tracker.add_observer(balances.observe)
        market = make_order("M", order_type=OrderType.MARKET, price=None)
        tracker.start_tracking_order(market)
        balances.hold(market, price=Decimal(100))
        tracker.process_order_update(make_update(S.OPEN, "M", timestamp=NOW + 1))
        balances.apply(report("1000", NOW + 1))
        assert balances.available("USDT") == 900, "the exchange may not lock anything for a market order"
        tracker.process_trade_update(make_trade("1", "1", "M", timestamp=NOW + 1.5))
        balances.apply(report("900", NOW + 1.5, total="900"))
        assert balances.available("USDT") == 900


def test_an_unknown_order_keeps_its_hold(balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker) -> None:
    tracker.process_order_update(make_update(S.UNKNOWN))
    balances.apply(report("1000", NOW + 9))
    assert balances.available("USDT") == 900


def test_release_and_ended_orders(balances: Balances, order: InFlightOrder) -> None:
    balances.release("A")
    balances.release("A")
    assert balances.available("USDT") == 1000
    balances.hold(make_order("B", progress=S.CANCELED))
    assert balances.held("USDT") == 0


def test_stale_pushes_are_passed_over_and_nonsense_refused(balances: Balances) -> None:
    assert not balances.apply(report("1", NOW - 1))
    assert balances.available("USDT") == 1000
    assert balances.apply(report("999", NOW))
    with pytest.raises(InvalidInput, match="USDT must be finite"):
        balances.apply(report("NaN", NOW + 1))
    with pytest.raises(InvalidInput, match="USDT"):
        balances.replace_all({"USDT": Balance(Decimal("Infinity"), Decimal(1))})
    assert balances.available("USDT") == 999


class Exchange:
    """An account on an exchange that locks at acceptance; its messages are delivered in order but late."""

    def __init__(self) -> None:
        self.total = Decimal(10_000)
        self.locked: dict[str, Decimal] = {}
        self.clock = NOW

    @property
    def available(self) -> Decimal:
        return self.total - sum(self.locked.values(), Decimal(0))

    def report(self) -> BalanceUpdate:
        return BalanceUpdate("USDT", Balance(self.total, self.available), self.clock)


def test_pushes_count_again_at_once_when_the_clock_was_set_back(
    balances: Balances, order: InFlightOrder, tracker: ClientOrderTracker
) -> None:
    """The exchange's engine may go on with its later time while its messages are stamped by the clock set back."""
    tracker.process_order_update(make_update(S.OPEN, timestamp=NOW))
    assert balances.apply(report("900", NOW - 60))
    assert balances.available("USDT") == 900
    assert balances.apply(report("950", NOW - 59))
    assert not balances.apply(report("900", NOW - 59.5))
    assert balances.available("USDT") == 950


def test_available_is_never_above_the_truth_and_meets_it_when_all_is_told() -> None:
    """Random orders, acks, fills and cancels: messages of one event in either order, all in a late stream."""
    for seed in range(300):
        rng = random.Random(seed)
        tracker, balances, exchange = ClientOrderTracker(PubSub(), time=lambda: NOW), Balances(), Exchange()
        tracker.add_observer(balances.observe)
        balances.apply(exchange.report())
        stream: list[object] = []
        on_the_way: list[InFlightOrder] = []
        resting: list[InFlightOrder] = []

        def deliver_one() -> None:
            message = stream.pop(0)  # noqa: B023
            if isinstance(message, BalanceUpdate):
                balances.apply(message)  # noqa: B023
            elif hasattr(message, "trade_id"):
                tracker.process_trade_update(message)  # type: ignore[arg-type]  # noqa: B023
            else:
                tracker.process_order_update(message)  # type: ignore[arg-type]  # noqa: B023

        for step in range(60):
            exchange.clock += rng.choice([0.0, 0.001])
            action = rng.choice(["place", "accept", "fill", "cancel", "deliver", "deliver", "deliver"])
            messages: list[object] = []
            if action == "place":
                order = make_order(f"o{step}", amount=Decimal(rng.randint(1, 5)))
                tracker.start_tracking_order(order)
                balances.hold(order)
                on_the_way.append(order)
            elif action == "accept" and on_the_way:
                exchange.clock += 0.001
                order = on_the_way.pop(0)
                resting.append(order)
                exchange.locked[order.client_order_id] = order.amount * 100
                messages = [
                    make_update(S.OPEN, order.client_order_id, timestamp=exchange.clock, exchange_order_id=None)
                ]
            elif action == "fill" and resting:
                order = resting.pop(rng.randrange(len(resting)))
                exchange.total -= exchange.locked.pop(order.client_order_id)
                messages = [make_trade(f"t{step}", str(order.amount), order.client_order_id, exchange_order_id=None)]
            elif action == "cancel" and resting:
                order = resting.pop(rng.randrange(len(resting)))
                del exchange.locked[order.client_order_id]
                messages = [
                    make_update(S.CANCELED, order.client_order_id, timestamp=exchange.clock, exchange_order_id=None)
                ]
            elif stream:
                deliver_one()
            if messages:
                messages.append(exchange.report())
                rng.shuffle(messages)
                stream += messages
            unsent = sum((order.amount * 100 for order in on_the_way), Decimal(0))
            assert balances.available("USDT") <= exchange.available - unsent, f"seed {seed}"
        while stream:
            deliver_one()
        unsent = sum((order.amount * 100 for order in on_the_way), Decimal(0))
        assert balances.available("USDT") == exchange.available - unsent, f"seed {seed}"
        assert balances.held("USDT") == unsent
