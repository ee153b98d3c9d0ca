"""A paper account on the testnet's live market data, behind the same demands as a real exchange's."""

import pytest
import pytest_asyncio

from kit.connectors import ccxt_exchange
from kit.connectors.ccxt_exchange import CcxtExchange
from kit.connectors.paper_exchange import PaperExchange
from kit.connectors.paper_settings import PaperSettings
from kit.core.tasks import TaskSupervisor
from kit.testnet import Testnet
from tests.conformance.port_conformance import PortConformance, Venue, eventually

PAIR = "BTC/USDT"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def testnet():
    async with await Testnet.start(name="paper conformance") as testnet:
        yield testnet


class TestPaper(PortConformance):
    # A paper account has no key that could be refused.
    test_errors_that_stop_trading_are_told_apart = None

    @pytest.fixture
    async def venue(self, testnet, monkeypatch):
        monkeypatch.setattr(ccxt_exchange, "REQUEST_TIMEOUT_MS", 60_000)
        supervisor = TaskSupervisor("paper conformance")
        market = CcxtExchange("binance", supervisor, endpoint=testnet, trading=False)
        paper = PaperExchange(market, PaperSettings.checked({"USDT": 100_000, "BTC": 2}))
        venue = Venue(paper, paper, paper, PAIR)
        await paper.subscribe([PAIR])
        await eventually(lambda: paper.status()["paper"]["books_known"][PAIR], "the book is known")
        yield venue
        await paper.close()
        assert paper.status()["paper"]["errors"] == 0
        assert await supervisor.close() == []
