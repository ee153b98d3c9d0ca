"""A day with everything that goes wrong, in small; afterwards no key, secret or signature is written anywhere.

Looked through: every log record of every library at DEBUG, what the user sees of every object of the kit's, tracebacks
with the values of all local variables, pickles, the recordings, the session file, the guard's diary, and what the
system shows of the guard's process.
"""

import asyncio
import gc
import io
import logging
import pickle
import re
import traceback
from decimal import Decimal
from pathlib import Path

import cloudpickle
import psutil
import pytest

import kit
from kit.errors import AuthenticationFailed, InvalidOrder, KitError, NotReady
from kit.testnet import Testnet
from tests.support.stack import AMOUNT, INSIDE, PAIR, connected, until

SIGNATURE = re.compile(r"signature[\"']?\s*[=:]\s*[\"']?[0-9a-f]{16}|listenKey[\"']?\s*[=:]\s*[\"']?\w{16}")

STORED = kit.Credentials("stored-api-key-0123456789", "stored-secret-0123456789")
"""Of another exchange, in the environment."""


@pytest.fixture
def logged():
    """All that any library logs, at DEBUG, with tracebacks."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root = logging.getLogger()
    names = ("ccxt", "aiohttp", "asyncio", "kit")
    before = {name: logging.getLogger(name).level for name in names}
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)
    for name, old in before.items():
        logging.getLogger(name).setLevel(old)


class Quoter(kit.PureMarketMaking):
    """Quotes, and fails now and then."""

    def on_tick(self, timestamp: float) -> None:
        """Quote, or fail with whatever is at hand."""
        super().on_tick(timestamp)
        if self.fails:
            self.fails -= 1
            raise RuntimeError(f"failed with {self.market!r} {vars(self)!r}")

    fails = 2


def told_by(error: BaseException) -> str:
    """Return a traceback as the most talkative tools print it, with the values of the local variables."""
    detailed = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(detailed.format(chain=True))


def shown() -> str:
    """Return what everything of the kit's and of ccxt's that is alive says of itself."""
    texts = []
    for thing in gc.get_objects():
        module = getattr(type(thing), "__module__", None) or ""
        if not str(module).startswith(("kit.", "ccxt")) or isinstance(thing, type):
            continue
        for way in ("__repr__", "__str__", "_repr_html_"):
            try:
                texts.append(str(getattr(thing, way)()))
            except Exception:
                continue  # half made, its loop or what it pointed to is gone, or no such way
    return "\n".join(texts)


def children() -> list[psutil.Process]:
    """Return the living children of this process; one that has ended and was not reaped tells nothing."""
    return [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


class Hidden:
    """What must be nowhere."""

    def __init__(self, *credentials: kit.Credentials) -> None:
        self.secrets = [text for keys in credentials for text in (keys.api_key, keys.secret)]
        assert all(len(secret) >= 12 for secret in self.secrets)

    def check(self, text: str, what: str) -> None:
        for secret in self.secrets:
            place = text.find(secret)
            assert place < 0, f"{what}: …{text[max(0, place - 300) : place]}<HERE>"
        found = SIGNATURE.search(text)
        assert found is None, f"{what}: …{text[max(0, found.start() - 300) : found.start()]}<SIGNATURE>"

    def check_files(self, folder: Path) -> int:
        count = 0
        for path in folder.rglob("*"):
            if path.is_file():
                count += 1
                self.check(path.read_bytes().decode("latin-1"), str(path))
        return count


async def send_frames_that_nobody_can_read(testnet: Testnet, market) -> None:
    """Send frames with the key and the secret in them, as no exchange does, to see what becomes of their texts."""
    keys = testnet.credentials
    for payload in (
        f'{{"e": "executionReport", "apiKey": "{keys.api_key}", broken',
        f'{{"e": "executionReport", "c": "{keys.api_key}", "listenKey": "{"l" * 40}"}}',
        f'[{{"apiKey": "{keys.secret}"}}]',
    ):
        for on in ("user", "*"):
            await testnet.fault("undecodable", on=on, payload=payload)
            await asyncio.sleep(0.3)
        await until(lambda: market.ready, "all is up again")


async def fail(call) -> KitError:
    with pytest.raises(KitError) as caught:
        await call
    return caught.value


async def test_nothing_secret_is_written_anywhere(
    tmp_path: Path, logged: io.StringIO, state: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KIT_KRAKEN_KEY", STORED.api_key)
    monkeypatch.setenv("KIT_KRAKEN_SECRET", STORED.secret)
    async with await Testnet.start("secrets", seed=3) as testnet:
        right = testnet.credentials
        wrong = kit.Credentials("wrong-api-key-" + "k" * 50, "wrong-secret-" + "s" * 50)
        hidden = Hidden(right, wrong, STORED)
        errors: list[BaseException] = []

        # A refused key, and one whose secret is wrong.
        for keys in (wrong, kit.Credentials(right.api_key, wrong.secret)):
            core = kit.TradingCore("secrets refused", guard=False)
            market = await core.add_connector("binance", [PAIR], mode="live", endpoint=testnet, credentials=keys)
            with pytest.raises(AuthenticationFailed) as caught:
                market.buy(PAIR, AMOUNT, kit.OrderType.LIMIT, INSIDE)
            errors.append(caught.value)
            hidden.check(f"{core.status.to_string()} {market.status} {market.trading_refused}", "refused")
            await core.stop()

        # A run with a guard, a recording, a session file, and the exchange's worst manners.
        async with connected(testnet, name="secrets", guard=True) as stack:
            core, market = stack.core, stack.market
            recorder = core.record(tmp_path / "recording")
            core.record_session(tmp_path / "sessions")
            strategy = core.strategy = Quoter(
                market, PAIR, bid_spread="0.002", ask_spread="0.002", order_amount="0.01", order_refresh_time=1
            )
            await until(lambda: strategy.fails == 0, "it failed")
            for fault, options in (
                ("error", {"on": "order.*", "status": 400, "code": -1102, "message": "Mandatory parameter missing"}),
                ("drop_after", {}),
                ("junk", {"body": "<html>", "status": 502}),
                ("truncate", {}),
                ("error", {"on": "account*", "status": 503, "code": -1000, "message": "busy"}),
                ("delay", {"on": "order.place", "delay": 6}),
            ):
                await testnet.fault(fault, **options)
                stack.buy(INSIDE - 500)
                await asyncio.sleep(0.4)
                await market.cancel_all(1)
            await send_frames_that_nobody_can_read(testnet, market)
            for fault in ("cut_user", "cut_market"):
                await testnet.fault(fault)
            with pytest.raises(InvalidOrder) as refused:
                stack.buy(Decimal(1), Decimal(1))
            errors.append(refused.value)
            await until(lambda: market.ready, "all is up again")
            assert core.guard is not None
            processes = [f"{child.cmdline()} {child.environ()}" for child in children()]
            assert any("kit.guard" in text for text in processes)
            for text in processes:
                hidden.check(text, "what the system shows of a process")
            hidden.check(shown(), "what objects show")
            for name in ("status", "orders", "fills", "balances"):
                hidden.check(getattr(core, name).to_string(), f"core.{name}")
            errors += [item.error for item in core.errors.items]
            hidden.check("\n".join(item.traceback for item in core.errors.items), "core.errors")
            hidden.check("\n".join(entry.text for entry in core.log.entries(level=0)), "core.log")
            hidden.check(strategy.explain() if isinstance(strategy.explain(), str) else repr(strategy.explain()), "why")
            for thing in (core, market, strategy, strategy.params.model, testnet, right):
                try:
                    pickled = cloudpickle.dumps(thing)
                except (TypeError, AttributeError, pickle.PicklingError, KitError, RuntimeError, RecursionError):
                    continue
                hidden.check(pickled.decode("latin-1"), f"pickled {thing!r}")
            await recorder.close()
        assert len(errors) >= 4
        for error in errors:
            hidden.check(told_by(error), f"the traceback of {type(error).__name__}")
        assert hidden.check_files(tmp_path) >= 2
        assert hidden.check_files(state) >= 1
    hidden.check(logged.getvalue(), "the log")
    assert len(logged.getvalue()) > 1000
    assert "failed with" in logged.getvalue()


def test_the_search_finds_what_it_looks_for():
    hidden = Hidden(kit.Credentials("a" * 20, "b" * 20))
    for text in (f"x{'a' * 20}", "signature=0123456789abcdef0123", '"listenKey": "abcdefghijklmnopqrst"'):
        with pytest.raises(AssertionError, match=r"HERE|SIGNATURE"):
            hidden.check(text, "planted")


async def test_an_exchange_that_is_not_there_tells_nothing(tmp_path: Path, logged: io.StringIO):
    class Nowhere:
        url = "http://127.0.0.1:9"
        credentials = kit.Credentials("nowhere-api-key-0123456789", "nowhere-secret-0123456789")

    hidden = Hidden(Nowhere.credentials)
    core = kit.TradingCore("nowhere", guard=False)
    error = await fail(core.add_connector("binance", [PAIR], mode="live", endpoint=Nowhere(), timeout=2))
    assert isinstance(error, NotReady)
    hidden.check(told_by(error), "the traceback")
    hidden.check(logged.getvalue(), "the log")
    hidden.check(shown(), "what objects show")
    await core.stop()
