"""The sets of recorded market streams that the testnet's tests play."""

from tests.support.market_recordings import recording

SPOT = ("binance_spot_btcusdt_20240808.raw.gz", "binance_spot_btcusdt_20240809.raw.gz")
FUTURES = ("binance_usdm_btcusdt_20240808.raw.gz",)


def recordings(*names):
    """Return the paths of recordings; skips the test when one is absent."""
    return [recording(name) for name in names]
