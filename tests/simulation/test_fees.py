from __future__ import annotations

from decimal import Decimal

import pytest

from kit.errors import InvalidInput
from kit.simulation.fees import Fees


def test_fees_and_rebates():
    fees = Fees(Decimal("-0.0001"), Decimal("0.0005"))
    assert fees.of(Decimal(1000), maker=True) == Decimal("-0.1")
    assert fees.of(Decimal(1000), maker=False) == Decimal("0.5")
    assert fees.rate(maker=True) == Decimal("-0.0001")


@pytest.mark.parametrize("value", [Decimal("0.5"), Decimal("NaN"), Decimal(-1), "much"])
def test_percentages_by_mistake_are_refused(value: Decimal):
    with pytest.raises(InvalidInput, match="fee is"):
        Fees(value, Decimal(0))
