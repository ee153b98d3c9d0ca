"""ccxt's packages load on demand, and still are what they are."""

import subprocess
import sys
from pathlib import Path

from kit.connectors import ccxt_lazy

ROOT = Path(__file__).resolve().parents[2]


def python(code: str) -> str:
    """Run code in a fresh interpreter, in which nothing of ccxt is loaded, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_connectors_do_not_import_ccxt():
    loaded = python(
        "import sys, kit.connectors.ccxt_exchange; print([name for name in sys.modules if name.startswith('ccxt')])"
    )
    assert loaded == "[]"


def test_one_exchange_loads_few_modules():
    loaded = python(
        "import sys\n"
        "from kit.connectors.ccxt_exchange import guarded_class\n"
        "guarded_class('binance')\n"
        "print(sum(name.split('.')[0] == 'ccxt' for name in sys.modules))"
    )
    assert int(loaded) < 40  # ccxt's own way loads 409


def test_the_stand_ins_answer_as_the_packages_do():
    code = """
import kit.connectors.ccxt_lazy as lazy
assert lazy.install()
assert lazy.install()
import ccxt
import ccxt.async_support as async_support
import ccxt.pro
assert ccxt.kraken.__module__ == "ccxt.kraken" and ccxt.kraken().id == "kraken"
assert async_support.kraken.__module__ == "ccxt.async_support.kraken"
assert issubclass(ccxt.pro.kraken, async_support.kraken)
assert ccxt.NetworkError is __import__("ccxt.base.errors").base.errors.NetworkError
assert issubclass(ccxt.BadSymbol, ccxt.ExchangeError)
assert "binance" in ccxt.exchanges and len(ccxt.exchanges) == 104, len(ccxt.exchanges)
assert len(ccxt.pro.exchanges) == 76
from ccxt import TICK_SIZE, Precise, decimal_to_precision
assert "exchanges" in dir(ccxt)
print("fine")
"""
    assert python(code) == "fine"


def test_what_is_imported_already_stays():
    code = """
import importlib.machinery, sys, types
spec = importlib.machinery.PathFinder.find_spec("ccxt")
there = sys.modules["ccxt"] = types.ModuleType("ccxt")  # stands for a ccxt that somebody imported in full
there.__spec__, there.__path__ = spec, list(spec.submodule_search_locations)
import kit.connectors.ccxt_lazy as lazy
assert not lazy.install()
assert "binance" in lazy.exchange_ids()
assert sys.modules["ccxt"] is there
print("fine")
"""
    assert python(code) == "fine"


def test_every_stream_exchange_is_listed_and_can_be_guarded():
    ids = ccxt_lazy.exchange_ids()
    assert len(ids) == 76
    assert {"binance", "bybit", "okx", "kraken", "coinbase"} <= set(ids)


def test_every_exchange_can_be_made():
    code = """
import asyncio
from kit.connectors import ccxt_lazy
from kit.connectors.ccxt_exchange import CcxtExchange
from kit.core.tasks import TaskSupervisor
from kit.types.ports import Credentials

class Nowhere:
    url = "http://127.0.0.1:9"
    credentials = Credentials("key", "c2VjcmV0")

def addresses(urls):
    if isinstance(urls, dict):
        urls = urls.values()
    elif not isinstance(urls, list):
        return [urls] if "://" in str(urls) else []
    return [found for part in urls for found in addresses(part)]

async def main():
    supervisor = TaskSupervisor("all")
    for exchange_id in ccxt_lazy.exchange_ids():
        exchange = CcxtExchange(exchange_id, supervisor, endpoint=Nowhere(), trading=True)
        for instance in exchange._session.instances:
            led = addresses(instance.urls)
            assert led and all(url.split("://")[1].startswith("127.0.0.1:9/") for url in led), (exchange_id, led)
        await exchange.close()
    print(await supervisor.close())

asyncio.run(main())
"""
    assert python(code) == "[]"


def test_threads_may_install_and_import_at_once_and_what_only_the_real_package_knows_is_there_too():
    code = """
import sys, threading, time
import kit.connectors.ccxt_lazy as lazy
sys.setswitchinterval(1e-6)
find_spec = lazy.importlib.util.find_spec
def slow(name):
    time.sleep(0.02)  # between the first stand-in and the last
    return find_spec(name)
lazy.importlib.util.find_spec = slow
start, errors = threading.Barrier(6), []
def go(number):
    try:
        start.wait()
        assert lazy.install()
        import ccxt, ccxt.pro
        assert ccxt.pro.kraken.__name__ == ccxt.kraken.__name__ == "kraken"
        assert len([name for name in sys.modules if name.startswith("ccxt")]) < 60
        start.wait()
        if number % 2:
            assert ccxt.__version__ == "4.5.90"  # only the real __init__ knows it, so that runs now
        assert ccxt.bitstamp().id == "bitstamp"
        assert "binance" in ccxt.pro.exchanges
    except BaseException as error:
        errors.append(repr(error))
        start.abort()
threads = [threading.Thread(target=go, args=(n,)) for n in range(6)]
[one.start() for one in threads]
[one.join(500) for one in threads]
print(errors, any(one.is_alive() for one in threads))
import ccxt
assert len([name for name in sys.modules if name.startswith("ccxt")]) > 100
assert "binance" in ccxt.__all__ and len(ccxt.exchanges) == 104
try:
    ccxt.no_such_name
except AttributeError as error:
    print(error)
"""
    told, unknown = python(code).splitlines()
    assert told == "[] False"
    assert "no_such_name" in unknown
