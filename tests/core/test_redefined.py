import sys

import pytest

from kit.core.redefined import replaces, same_source


class Cell:
    """What running a cell's source leaves in ``__main__``."""

    def __init__(self, monkeypatch):
        self.patch = monkeypatch

    def run(self, source, name):
        space = {"__name__": "__main__"}
        exec(compile(source, "<cell>", "exec"), space)
        self.patch.setattr(sys.modules["__main__"], name, space[name], raising=False)
        return space[name]


@pytest.fixture
def cell(monkeypatch):
    return Cell(monkeypatch)


def test_a_function_defined_again_replaces_the_old_one(cell):
    old = cell.run("def on_fill(event): print(event)", "on_fill")
    new = cell.run("def on_fill(event): print('fill', event)", "on_fill")
    assert replaces(new, old)
    assert not replaces(old, new)  # it is the one that the name means
    assert not replaces(new, new)


def test_two_functions_of_one_name_stay_apart_where_both_are_meant(cell):
    make = cell.run("def make(n):\n    def on_fill(event): return n\n    return on_fill", "make")
    assert not replaces(make(1), make(2))
    assert replaces(make(1), make(1))  # the same done to the same


def test_a_lambda_run_again_replaces_and_another_one_does_not(cell):
    one = cell.run("f = lambda event: print(event)", "f")
    again = cell.run("f = lambda event: print(event)", "f")
    other = cell.run("f = lambda event: print(2)", "f")
    assert replaces(again, one)
    assert not replaces(other, one)


def test_functions_of_modules_are_never_replaced():
    def mine():
        pass

    assert not replaces(mine, test_functions_of_modules_are_never_replaced)
    assert not replaces(print, len)


def test_a_method_is_replaced_by_that_of_the_class_defined_again(cell):
    source = "class Tracker:\n    def on_fill(self, event): pass\n    def other(self, event): pass"
    old = cell.run(source, "Tracker")()
    twin = type(old)()
    assert not replaces(twin.on_fill, old.on_fill)
    new = cell.run(source, "Tracker")()
    assert replaces(new.on_fill, old.on_fill)
    assert not replaces(new.other, old.on_fill)


SOURCE = """
import kit
class Quoter(kit.Strategy):
    \"\"\"{doc}\"\"\"
    class Params(kit.Params):
        width: int = kit.param({width}, ge=0, doc="w")
    sizes = ["1", "2"]
    def on_tick(self, timestamp):
        super().on_tick(timestamp)
        {body}
    @property
    def half(self): return self.params.width / 2
    @staticmethod
    def helper(x): return [y for y in x]
"""


def quoter(cell, doc="a", width=1, body="self.buy('1', '99')"):
    return cell.run(SOURCE.format(doc=doc, width=width, body=body), "Quoter")


def test_a_class_run_again_is_of_the_same_source(cell):
    one = quoter(cell)
    assert same_source(one, one)
    assert same_source(quoter(cell), one)
    assert same_source(quoter(cell, doc="another\n\ntext"), one)


@pytest.mark.parametrize("change", [{"width": 2}, {"body": "self.buy('2', '99')"}, {"body": "self.sell('1', '99')"}])
def test_a_class_that_was_changed_is_not(cell, change):
    one = quoter(cell)
    assert not same_source(quoter(cell, **change), one)
