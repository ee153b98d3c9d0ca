from __future__ import annotations

from decimal import Decimal

import pytest

from kit.errors import InvalidInput
from kit.strategy.proposal import EMPTY, PriceSize, Proposal, checked


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


BUY = PriceSize(Decimal(99), Decimal(1))


@pytest.mark.parametrize("sides", [([BUY], []), (iter([BUY]), ()), ((BUY,), ())], ids=["lists", "iterators", "tuples"])
def test_sides_of_a_stage_may_be_any_sequence(sides):
    assert checked(Proposal(*sides), "mine") == Proposal((BUY,))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, "stage mine returned None; a stage returns a kit.Proposal"),
        (((BUY,), ()), "stage mine returned a tuple; a stage returns a kit.Proposal"),
        (Proposal((BUY._replace(price=98.5),)), "stage mine made a price of 98.5 (float); give a Decimal"),
        (Proposal((), (BUY._replace(size="1"),)), "stage mine made a size of '1' (str); give a Decimal"),
        (Proposal((BUY._replace(size=Decimal("NaN")),)), "stage mine made a size of Decimal('NaN')"),
        (Proposal((Decimal(1),)), "stage mine has Decimal('1') among its orders; an order is a kit.PriceSize"),
        (Proposal(None), "stage mine made buys of None; give a tuple of kit.PriceSize"),
    ],
)
def test_what_a_stage_cannot_make_is_taught(made, words):
    with pytest.raises(InvalidInput) as caught:
        checked(made, "mine")
    assert words in str(caught.value)
