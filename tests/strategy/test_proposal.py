from __future__ import annotations

from decimal import Decimal

import pytest

from kit.strategy.proposal import EMPTY, PriceSize, Proposal


def test_a_proposal_cannot_be_changed():
    proposal = Proposal((PriceSize(Decimal(99), Decimal(1)),))
    with pytest.raises(AttributeError):
        proposal.buys = ()
    with pytest.raises(AttributeError):
        proposal.buys[0].size = Decimal(2)


def test_empty_means_neither_side():
    assert EMPTY.is_empty
    assert not Proposal((), (PriceSize(Decimal(99), Decimal(1)),)).is_empty


def test_it_reads_well():
    proposal = Proposal((PriceSize(Decimal("99.5"), Decimal("0.1")), PriceSize(Decimal(98), Decimal(1))))
    assert repr(proposal) == "Proposal(buys: 0.1 @ 99.5, 1 @ 98; sells: none)"
