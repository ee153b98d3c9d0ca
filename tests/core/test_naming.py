import pytest

from kit.core.naming import ByName, did_you_mean


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("binanse", "; did you mean 'binance'?"),
        ("BINANCE", "; did you mean 'binance'?"),
        ("kraken", ""),
        (7, ""),
    ],
)
def test_a_close_name_is_offered(name, said):
    assert did_you_mean(name, ["binance", "bitstamp"]) == said


def test_names_are_iterated_and_completed():
    class Shelf(ByName):
        def _names(self):
            return {"a": 1, "b": 2}

    shelf = Shelf()
    assert list(shelf) == shelf._ipython_key_completions_() == ["a", "b"]
    assert "a" in shelf
    assert 3 not in shelf
