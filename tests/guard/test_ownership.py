from hypothesis import given
from hypothesis import strategies as st

from kit.connectors.client_order_ids import ClientOrderIds
from kit.core.clock import ManualTime
from kit.guard.ownership import Ownership


def ids_at(moment, name="core"):
    return ClientOrderIds(name, time_source=ManualTime(moment))


def test_what_the_core_itself_makes_is_its_own_up_to_a_limit():
    ids = ids_at(1000.0)
    ownership = Ownership.since(ids.next())
    first, limit, later = ids.next(), ids.next(), ids.next()
    assert ownership.owns(first)
    assert ownership.owns(later)
    assert ownership.owns(first, limit)
    assert not ownership.owns(later, limit)


@given(st.floats(1.0, 2e9), st.floats(1.0, 2e9), st.text(max_size=10), st.text(max_size=10))
def test_other_runs_of_the_name_own_what_is_younger_other_names_everything(born, made, name, other):
    mine, theirs = ids_at(born, name), ids_at(made, other)
    ownership = Ownership.since(mine.next())
    order_id = theirs.next()
    if mine.salt == theirs.salt:
        return
    assert ownership.owns(order_id) is (mine.tag == theirs.tag and order_id < ownership.born)


def test_foreign_ids_are_nobodys():
    ownership = Ownership.since(ids_at(1000.0).next())
    for foreign in (None, "", "web_123", "x" * 18, ownership.born[:-1], ownership.born + "0"):
        assert not ownership.owns(foreign)
