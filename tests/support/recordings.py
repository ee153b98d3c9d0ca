"""Where the tests find recorded market streams; they are too big for the repository."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("KIT_RECORDINGS") or Path(__file__).parents[3] / "shared" / "data")

SPOT = ("binance_spot_btcusdt_20240808.raw.gz", "binance_spot_btcusdt_20240809.raw.gz")
FUTURES = ("binance_usdm_btcusdt_20240808.raw.gz",)


def recordings(*names):
    """Return the paths of recordings; skips the test when one is absent."""
    paths = [FOLDER / name for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        pytest.skip(f"needs the recordings {', '.join(missing)}: set KIT_RECORDINGS to their folder")
    return paths
