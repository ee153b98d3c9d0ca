"""What every test has in common."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep what the kit keeps, such as the guards' logs, out of the user's own folders."""
    folder = tmp_path_factory.mktemp("state")
    before = os.environ.get("KIT_STATE")
    os.environ["KIT_STATE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["KIT_STATE"]
    else:
        os.environ["KIT_STATE"] = before
