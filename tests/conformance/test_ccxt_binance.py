"""The unmodified ccxt.pro.binance behind the ports, over real sockets to the testnet."""

import pytest
import pytest_asyncio

from kit.connectors import ccxt_exchange
from kit.connectors.ccxt_exchange import CcxtExchange
from kit.core.tasks import TaskSupervisor
from kit.testnet import Testnet
from kit.types.ports import Credentials
from tests.conformance.port_conformance import PortConformance, Venue

PAIR = "BTC/USDT"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def testnet():
    async with await Testnet.start(name="conformance") as testnet:
        yield testnet


class TestCcxtBinance(PortConformance):
    @pytest.fixture
    async def venue(self, testnet, monkeypatch):
        monkeypatch.setattr(ccxt_exchange, "REQUEST_TIMEOUT_MS", 60_000)  # what is lost is not this file's question
        supervisor = TaskSupervisor("conformance")
        options = {"credentials": testnet.credentials, "recv_window": 60}  # a busy machine delivers later than in 2.5 s
        exchange = CcxtExchange("binance", supervisor, endpoint=testnet, trading=True, **options)
        yield Venue(exchange, exchange, exchange, PAIR)
        await exchange.close()
        assert await supervisor.close() == []

    @pytest.fixture
    async def refused_account(self, testnet, monkeypatch):
        monkeypatch.setattr(ccxt_exchange, "REQUEST_TIMEOUT_MS", 60_000)
        supervisor = TaskSupervisor("refused")
        wrong = Credentials(testnet.credentials.api_key, "not the secret")
        exchange = CcxtExchange("binance", supervisor, endpoint=testnet, credentials=wrong, trading=True)
        exchange.attach_account_sink(lambda _: None)
        exchange.attach_market_sink(lambda _: None)
        yield exchange
        await exchange.close()
        await supervisor.close()
