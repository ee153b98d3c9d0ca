"""A backtest's parameters from a preset."""

from decimal import Decimal
from pathlib import Path

import pytest

from kit.backtest.config import read_config
from kit.errors import InvalidInput
from kit.strategy.live_params import LiveParams
from kit.strategy.market_making_params import PureMarketMakingParams


@pytest.fixture(autouse=True)
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LiveParams:
    monkeypatch.setenv("KIT_CONFIG", str(tmp_path / "config"))
    params = LiveParams(PureMarketMakingParams(bid_spread="0.0010", ask_spread="0.002", order_amount="0.3"))
    params.save("calm")
    return params


def config(folder: Path, params: str):
    path = folder / "backtest.toml"
    path.write_text(f'strategy = "PureMarketMaking"\n[params]\n{params}\n')
    return read_config(path).params


def test_a_preset_with_changes(saved: LiveParams, tmp_path: Path):
    params = config(tmp_path, 'preset = "calm"\norder_amount = 0.25')
    assert PureMarketMakingParams(**params) == saved.model.evolve(order_amount="0.25")


def test_a_file_beside_the_configuration(tmp_path: Path):
    (tmp_path / "mine.toml").write_text("[params]\nbid_spread = 0.01\n")
    assert config(tmp_path, 'preset = "mine.toml"') == {"bid_spread": Decimal("0.01")}


def test_what_cannot_be(tmp_path: Path):
    with pytest.raises(InvalidInput, match="there are 'calm'"):
        config(tmp_path, 'preset = "wild"')
    with pytest.raises(InvalidInput, match="nobody knows"):
        read_config({"strategy": lambda market: None, "params": {"preset": "calm"}})
