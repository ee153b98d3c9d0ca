"""The cockpit: which parts a core's view has, and which market and pair they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kit.errors import InvalidInput, NotSupported
from kit.notebook.balances_model import BalancesModel
from kit.notebook.controls_model import ControlsModel
from kit.notebook.core_model import CoreModel
from kit.notebook.depth_model import DepthModel
from kit.notebook.following import FollowingModel, Subject
from kit.notebook.health_model import HealthModel
from kit.notebook.log_model import LogModel
from kit.notebook.orders_model import OrdersModel
from kit.notebook.panel import Frame, PanelModel
from kit.notebook.pnl_model import PnlModel
from kit.notebook.price_model import PriceModel
from kit.notebook.red_model import RedModel
from kit.notebook.switch_model import SwitchModel, read_only

if TYPE_CHECKING:
    from kit.connectors.connector import Connector
    from kit.trading_core import TradingCore

NO_MARKET = "no market yet: await core.add_connector(…)"
NO_STRATEGY = "no strategy yet: core.strategy = …"


class CockpitModel(CoreModel):
    """The parts of a core's view by name, in ``parts``, and the choice of the pair that they show.

    Before each frame of its own ``on_frame()`` is called, on the core's loop.
    """

    def __init__(self, core: TradingCore) -> None:
        super().__init__(core, "cockpit")
        self.on_frame: Callable[[], None] = lambda: None
        self._chosen = ""
        self._last: dict[str, Any] = {}
        self.parts: dict[str, PanelModel] = {
            "switch": SwitchModel(core),
            "red": RedModel(core),
            "depth": self._of_market("depth", DepthModel),
            "orders": OrdersModel(core),
            "price": self._of_market("price", PriceModel),
            "pnl": PnlModel(core),
            "controls": FollowingModel(f"controls of {core.name}", lambda: self.affinity, self._strategy),
            "balances": BalancesModel(core),
            "health": HealthModel(core),
            "log": LogModel(core),
        }

    @property
    def ended(self) -> bool:
        """Tell that there may always be news: a core that was stopped can be started again."""
        return False

    # -- what is shown ---------------------------------------------------------------------------------------------

    def choices(self) -> dict[str, tuple[Connector, str]]:
        """Return the markets and pairs by what they are called, in the order of connecting."""
        connectors = self.core.connectors
        return {
            f"{name} {pair}": (connector, pair)
            for name, connector in connectors.items()
            for pair in connector.trading_pairs
        }

    def chosen(self) -> str:
        """Return what the choice is, "" where there is none; by default the first, or the strategy's."""
        choices = self.choices()
        if self._chosen in choices:
            return self._chosen
        strategy = self.core.strategy
        traded = strategy.markets if strategy is not None else ()
        return next((key for key, (market, _) in choices.items() if market in traded), next(iter(choices), ""))

    def _of_market(self, name: str, make: Callable[[Connector, str], PanelModel]) -> FollowingModel:
        def find() -> Subject:
            found = self.choices().get(self.chosen())
            if found is None:
                return Subject(None, why_not=NO_MARKET)
            return Subject(found, lambda: make(*found))

        return FollowingModel(f"{name} of {self.core.name}", lambda: self.affinity, find)

    def _strategy(self) -> Subject:
        strategy = self.core.strategy
        if strategy is None:
            return Subject(None, why_not=NO_STRATEGY)
        return Subject(strategy, lambda: ControlsModel(strategy))

    def frame(self, full: bool) -> Frame | None:
        """Return the choice, ``None`` when it is the same still."""
        self.on_frame()
        now = {
            "core": self.core.name,
            "choices": [[key, key] for key in self.choices()],
            "chosen": self.chosen(),
            "read_only": read_only(self.core),
        }
        if not full and now == self._last:
            return None
        self._last = now
        return Frame(now)

    def command(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Choose what is shown: ``{"do": "choose", "market": "binance BTC/USDT"}``."""
        if message.get("do") != "choose":
            raise NotSupported(f"the cockpit takes no command {message.get('do')!r}")
        key = message.get("market")
        if key not in self.choices():
            raise InvalidInput(f"market is {key!r}; there are {', '.join(self.choices()) or 'none yet'}")
        self._chosen = str(key)
        return {"text": ""}

    # -- without a page --------------------------------------------------------------------------------------------

    def text(self) -> str:
        """Return the parts as text, the health first."""
        return "\n\n".join(
            self.parts[name].text() for name in ("switch", "health", "orders", "pnl", "balances", "controls")
        )

    def html(self) -> str:
        """Return the parts as HTML that needs no script."""
        return "".join(
            self.parts[name].html() for name in ("switch", "depth", "orders", "pnl", "balances", "health", "controls")
        )
