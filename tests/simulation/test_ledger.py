"""Money in the simulated account: held once, spent once, never below zero, and all of it accounted for."""

from decimal import ROUND_DOWN
from decimal import Decimal as D

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kit.errors import InsufficientBalance, InvariantBroken
from kit.simulation.ledger import Ledger, checked_balances
from kit.types.orders import Balance

UNIT = D("1e-8")
# Not st.decimals: drawing these would take most of the test's time.
amounts = st.integers(1, 1000 * 10**8).map(lambda count: count * UNIT)
shares = st.integers(0, 1000).map(lambda count: count * D("0.001"))


class Money(RuleBasedStateMachine):
    """A model with plain sums beside the ledger."""

    @initialize(usdt=amounts, btc=amounts)
    def begin(self, usdt, btc):
        self.ledger = Ledger({"USDT": usdt, "BTC": btc})
        self.totals, self.holds, self.next_id = {"USDT": usdt, "BTC": btc}, {}, 1

    @rule(asset=st.sampled_from(["USDT", "BTC"]), amount=amounts)
    def hold(self, asset, amount):
        free = self.totals[asset] - sum(left for name, left in self.holds.values() if name == asset)
        if amount > free:
            with pytest.raises(InsufficientBalance, match=asset):
                self.ledger.hold(self.next_id, asset, amount)
        else:
            self.ledger.hold(self.next_id, asset, amount)
            self.holds[self.next_id] = (asset, amount)
        self.next_id += 1

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), share=shares, paid=shares, got=amounts)
    def fill(self, data, share, paid, got):
        order_id = data.draw(st.sampled_from(sorted(self.holds)))
        asset, left = self.holds[order_id]
        part = (left * share).quantize(UNIT, ROUND_DOWN)
        cost = (part * paid).quantize(UNIT, ROUND_DOWN)
        self.ledger.spend(order_id, part, cost)
        self.holds[order_id] = (asset, left - part)
        self.totals[asset] -= cost
        other = "BTC" if asset == "USDT" else "USDT"
        self.ledger.receive(other, got)
        self.ledger.charge(other, got * D("0.001"))
        self.totals[other] += got - got * D("0.001")

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def release(self, data):
        order_id = data.draw(st.sampled_from(sorted(self.holds)))
        self.ledger.release(order_id)
        self.ledger.release(order_id)
        del self.holds[order_id]

    @rule(asset=st.sampled_from(["USDT", "BTC"]), amount=amounts)
    def deposit(self, asset, amount):
        self.ledger.deposit(asset, amount)
        self.totals[asset] += amount

    @invariant()
    def all_is_accounted_for(self):
        assert not any(self.ledger.imbalances().values())
        for asset, total in self.totals.items():
            held = sum((left for name, left in self.holds.values() if name == asset), D(0))
            assert self.ledger.balance(asset) == Balance(total, total - held)
            assert self.ledger.available(asset) >= 0


TestMoney = Money.TestCase


def test_more_than_is_held_is_never_spent():
    ledger = Ledger({"USDT": D(10)})
    ledger.hold(1, "USDT", D(5))
    with pytest.raises(InvariantBroken, match="order 1 paid 6"):
        ledger.spend(1, D(5), D(6))
    with pytest.raises(InvariantBroken, match="fell to"):
        ledger.charge("BTC", D(1))


def test_rebates_are_fees_below_zero():
    ledger = Ledger({"USDT": D(10)})
    ledger.charge("USDT", D("-0.5"))
    assert ledger.total("USDT") == D("10.5")
    assert ledger.fees == {"USDT": D("-0.5")}
    assert not any(ledger.imbalances().values())


def test_amounts_are_taken_as_written():
    assert checked_balances({"A": 0.1, "B": "0.10", "C": 3, "D": D("1e-8")}) == {
        "A": D("0.1"),
        "B": D("0.1"),
        "C": D(3),
        "D": D("1e-8"),
    }
