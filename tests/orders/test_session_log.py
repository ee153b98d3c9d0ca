from kit.core.pubsub import PubSub
from kit.orders.client_order_tracker import ClientOrderTracker
from kit.orders.session_log import SessionLog
from kit.types.orders import OrderState
from tests.support.orders import make_order, make_update


def test_what_is_kept_is_bounded_and_each_order_is_there_once(pubsub: PubSub, tracker: ClientOrderTracker) -> None:
    log = SessionLog("sim", tracker, pubsub, limit=3)
    for number in range(20):
        key = f"A{number}"
        tracker.start_tracking_order(make_order(key))
        for state in (OrderState.OPEN, OrderState.CANCELED):
            tracker.process_order_update(make_update(state, key, exchange_order_id=f"X{number}"))
    assert [order.client_order_id for order in log.all_orders()] == ["A17", "A18", "A19"]
    assert log._logged == {"A17", "A18", "A19"}
    assert log.orders_created == 20
