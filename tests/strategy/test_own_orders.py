from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from kit.strategy.own_orders import REMEMBERED_SECONDS, OwnOrder, OwnOrders
from kit.types.orders import OrderState, OrderType
from tests.support.mock_market import MockMarket

ENDINGS = (OrderState.CANCELED, OrderState.FILLED, OrderState.EXPIRED, OrderState.FAILED)
steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "open", "fill", "end", "wait"]),
        st.integers(0, 7),
        st.sampled_from(ENDINGS),
        st.sampled_from([0.0, 1.0, 100.0, REMEMBERED_SECONDS, REMEMBERED_SECONDS + 1]),
    ),
    max_size=60,
)


@given(steps)
def test_the_ledger_agrees_with_a_plain_model(script):
    market = MockMarket()  # knows none of the orders, so that no fill revives one
    ledger, now = OwnOrders(), 0.0
    orders: dict[int, OwnOrder] = {}
    ended: dict[int, tuple[OrderState, float]] = {}
    for name, number, state, seconds in script:
        order = orders.get(number)
        if name == "wait":
            now += seconds
            ledger.forget(now)
        elif name == "add" and order is None:
            orders[number] = OwnOrder(
                str(number), market, "HBOT/ETH", number % 2 == 0, Decimal(9), Decimal(2), OrderType.LIMIT, now
            )
            ledger.add(orders[number])
        elif order is None or ledger.get(str(number)) is None:
            continue
        elif name == "open":
            ledger.opened(order, None)
            if number in ended and ended[number][0] is OrderState.FAILED:
                del ended[number]
        elif name == "fill":
            ledger.filled(order, Decimal("0.1"))
        elif name == "end" and number not in ended:
            ledger.end(order, state, now)
            ended[number] = (state, now)
        elif name == "end":
            ledger.end(order, state, now)  # a second ending changes nothing

        assert {order.client_order_id for order in ledger.active} == {str(key) for key in orders if key not in ended}
        assert set(ledger.buys) | set(ledger.sells) == set(ledger.active)
        assert all(order.is_buy for order in ledger.buys)
        for key, (final, when) in ended.items():
            assert orders[key].state is final
            if now - when <= REMEMBERED_SECONDS:
                assert ledger.get(str(key)) is orders[key]


def test_ended_orders_do_not_pile_up():
    market, ledger = MockMarket(), OwnOrders()
    for second in range(1000):
        order = OwnOrder(str(second), market, "HBOT/ETH", True, Decimal(9), Decimal(2), OrderType.LIMIT, second)
        ledger.add(order)
        ledger.end(order, OrderState.CANCELED, second)
        ledger.forget(second)
    assert ledger.get("818") is None
    assert ledger.get("819") is not None
    assert ledger.active == ()
