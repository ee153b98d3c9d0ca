"""Writes down what a strategy decides and what comes of it, while a backtest runs."""

from __future__ import annotations

from kit.backtest.run_record import BacktestRun
from kit.connectors.connector import Connector
from kit.connectors.replay_exchange import ReplayTime
from kit.types.events import BalanceUpdateEvent, MarketEvent, OrderFilledEvent
from kit.types.market import TradeType
from kit.types.orders import CancelRequest, OrderRequest, OrderUpdate
from kit.types.ports import OrderPort


class RecordedOrders:
    """An order port that writes every request into the record and hands it on."""

    def __init__(self, port: OrderPort, time: ReplayTime) -> None:
        self._port = port
        self._time = time
        self._connector: Connector | None = None
        self._run: BacktestRun | None = None

    def record(self, connector: Connector, run: BacktestRun) -> None:
        """Begin to write; ``connector`` is the one that sends through this port."""
        self._connector, self._run = connector, run

    def submit(self, request: OrderRequest) -> None:
        """Send an order."""
        connector, run = self._connector, self._run
        if connector is not None and run is not None:
            order_id = request.client_order_id
            order = connector.order_tracker.fetch_order(client_order_id=order_id)
            if order is not None:
                run.orders.append((connector.name, order))
            run.add_decision(
                self._time.time(),
                connector.name,
                "place",
                order_id,
                request.trading_pair,
                "buy" if request.trade_type is TradeType.BUY else "sell",
                request.order_type,
                request.price,
                request.amount,
            )
        self._port.submit(request)

    def cancel(self, request: CancelRequest) -> None:
        """Ask to cancel an order."""
        connector, run = self._connector, self._run
        if connector is not None and run is not None:
            order = connector.order_tracker.fetch_order(client_order_id=request.client_order_id)
            if order is not None:
                run.add_decision(
                    self._time.time(),
                    connector.name,
                    "cancel",
                    request.client_order_id,
                    request.trading_pair,
                    "buy" if order.is_buy else "sell",
                    order.order_type,
                    order.price,
                    order.amount,
                )
        self._port.cancel(request)

    async def query(self, request: CancelRequest) -> OrderUpdate | None:
        """Ask for one order's state."""
        return await self._port.query(request)


class AccountRecorder:
    """Follows the fills and balances of one connector into the record."""

    def __init__(self, connector: Connector, run: BacktestRun, balances: list[float]) -> None:
        self._name = connector.name
        self._run = run
        self._balances = balances
        self._places = {
            account.asset: index for index, account in enumerate(run.accounts) if account.connector == connector.name
        }
        for asset, index in self._places.items():
            balances[index] = float(connector.get_balance(asset))
        connector.add_listener(MarketEvent.OrderFilled, self._filled)
        connector.add_listener(MarketEvent.Balance, self._changed)

    def _filled(self, event: OrderFilledEvent) -> None:
        self._run.add_fill(self._name, event)

    def _changed(self, event: BalanceUpdateEvent) -> None:
        place = self._places.get(event.asset_name)
        if place is not None:
            self._balances[place] = float(event.total_balance)
