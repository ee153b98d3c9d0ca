from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from kit.orders.holds import Hold, Holds

D = Decimal
amounts = st.decimals(0, 1000, places=5, allow_nan=False)
steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "resize", "acknowledge"]),
        st.integers(0, 5),
        st.sampled_from(["BTC", "USDT"]),
        amounts,
    ),
    max_size=40,
)


@given(steps)
def test_sums_are_those_of_what_is_held(steps):
    holds, plain, acknowledged = Holds(), {}, set()
    for action, number, asset, amount in steps:
        key = str(number)
        if action == "add" and key not in holds:
            plain[key] = [asset, amount]
            holds.add(key, Hold(asset, amount, amount, placed=1))
        elif action == "remove":
            plain.pop(key, None)
            acknowledged.discard(key)
            holds.remove(key)
        elif action == "resize" and key in holds:
            plain[key][1] = amount
            holds.resize(holds.get(key), amount)
        elif action == "acknowledge" and key in holds:
            acknowledged.add(key)
            holds.acknowledge(key, 2, 3.0)
        for name in ("BTC", "USDT"):
            assert holds.sum(name) == sum((held for told, held in plain.values() if told == name), D(0))
            assert {found for found, _ in holds.acknowledged(name)} == {
                found for found in acknowledged if plain[found][0] == name
            }
        assert set(holds.assets) == {told for told, _ in plain.values()}


def test_nothing_held_is_plain_zero():
    holds = Holds()
    holds.add("a", Hold("BTC", D("0.00100"), D("0.00100"), placed=1))
    holds.remove("a")
    assert str(holds.sum("BTC")) == "0"
