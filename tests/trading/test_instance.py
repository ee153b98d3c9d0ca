"""What a core does about its instance lock within one process, and what its state file holds."""

import os
import stat
from dataclasses import asdict
from decimal import Decimal

import pytest

import kit
from kit.connectors import connector_manager
from kit.errors import NotReady, NotSupported
from kit.orders.in_flight_order import InFlightOrder
from kit.orders.session_log import PairTotals
from kit.trading.instance_lock import Instance, InstanceLock, core_file, free_name, this_process
from kit.trading.state_file import StateFile, connector_entry
from kit.types.market import TradeType
from kit.types.orders import Balance, OrderType
from tests.support.fake_venue import FakeVenue

ORDER = InFlightOrder(
    client_order_id="abc",
    trading_pair="BTC/USDT",
    trade_type=TradeType.BUY,
    order_type=OrderType.LIMIT,
    amount=Decimal("0.1"),
    price=Decimal("60000.01"),
    creation_timestamp=1.5,
)
TOTALS = PairTotals("BTC/USDT", 1, Decimal("0.1"), quote_delta=Decimal("-6000.001"))


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("KIT_STATE", str(tmp_path))
    return tmp_path


def content(**changes):
    entry = connector_entry(
        "binance",
        "live",
        "http://127.0.0.1:1",
        {"BTC": Balance(Decimal(2), Decimal(1))},
        [ORDER.as_dict()],
        {"": TOTALS},
    )
    return {
        "instance": Instance(os.getpid(), 1.0, "test"),
        "written": 2.0,
        "running": True,
        "trading_state": "live",
        "reason": "",
        "strategy": "Quoter",
        "health": {"ticks": 3},
        "connectors": [entry],
        **changes,
    }


def test_what_is_written_is_read_to_the_last_digit(tmp_path):
    file = StateFile(tmp_path / "cores" / "x.json")
    file.write(content())
    seen = file.read()
    assert seen.instance.alive
    assert (seen.trading_state, seen.strategy, seen.health) == ("live", "Quoter", {"ticks": 3})
    connector = seen.connectors["binance"]
    assert connector.balances == {"BTC": Balance(Decimal(2), Decimal(1))}
    assert connector.totals == (TOTALS,)
    assert [order.as_dict() for order in connector.orders] == [ORDER.as_dict()]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.path.parent.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"version": 99}', b'{"version": 1}', b'{"version": 1, "connectors": 3}']
)
def test_what_does_not_read_is_nobody(tmp_path, data):
    path = tmp_path / "x.json"
    path.write_bytes(data)
    assert StateFile(path).read() is None


def test_after_its_removal_a_late_writer_does_not_bring_it_back(tmp_path):
    file = StateFile(tmp_path / "x.json")
    file.write(content())
    file.remove()
    file.write(content())
    assert not file.path.exists()
    file.remove()


@pytest.mark.parametrize("url", ["https://user:word@host", "https://host/?key=word"])
def test_addresses_with_secrets_are_not_told(url):
    assert connector_entry("binance", "live", url, {}, [], {})["url"] is None


def test_a_process_does_not_lock_itself_out():
    first, second = InstanceLock("one"), InstanceLock("one")
    assert first.acquire()
    assert second.acquire()
    first.release()
    first.release()
    assert second.held
    assert free_name("one") == "one"
    second.release()


def test_names_that_look_alike_have_files_of_their_own():
    assert core_file("a b", "lock") != core_file("a-b", "lock")
    assert core_file("../../etc", "lock").parent == core_file("x", "lock").parent


def test_a_state_folder_that_cannot_be_written_locks_nobody_out(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KIT_STATE", str(tmp_path / "file"))
    lock = InstanceLock("one")
    assert lock.acquire()
    assert "cannot be locked" in caplog.text
    lock.release()


@pytest.mark.parametrize(
    ("variables", "what"),
    [
        ({"JPY_SESSION_NAME": "/home/me/work/00_quickstart.ipynb"}, "00_quickstart.ipynb"),
        ({"SERVER_SOFTWARE": "voila/0.5", "JPY_SESSION_NAME": "x.ipynb"}, "a Voilà page"),
    ],
)
def test_a_process_says_what_it_is(monkeypatch, variables, what):
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    instance = this_process(1.0)
    assert instance.what == what
    assert str(os.getpid()) in str(instance)
    assert asdict(instance)["since"] == 1.0


async def test_an_order_in_a_view_is_refused_naming_who_runs_the_core(monkeypatch):
    venue = FakeVenue()
    monkeypatch.setattr(connector_manager, "CcxtExchange", lambda *_, **__: venue)
    core = kit.TradingCore("seen", tables=False, guard=False)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(InstanceLock, "acquire", lambda _: False)
        StateFile(core_file("seen", "json")).write(content(instance=Instance(os.getpid(), 1.0, "a.ipynb")))
        market = await core.add_connector("binance", ["BTC/USDT"], mode="paper")
    assert market.mode == "data"
    (order_id,) = market.in_flight_orders
    told = rf"Core 'seen' runs in a\.ipynb \(pid {os.getpid()}, since .*\), live; this is a view of it"
    with pytest.raises(NotReady, match=told):
        market.buy("BTC/USDT", Decimal(1), price=Decimal(99))
    with pytest.raises(NotReady, match=told):
        market.cancel("BTC/USDT", order_id)
    await core.remove_connector("binance")
    await core.stop()
    data = await core.add_connector("binance", ["BTC/USDT"])
    with pytest.raises(NotSupported, match="mode 'data'"):
        data.buy("BTC/USDT", Decimal(1), price=Decimal(99))
    await core.stop()
