"""What every test has in common."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.fake_venue import FakeVenue

# A busy machine stands still for longer than any time in which an example or its making should be done. The examples
# are those of the run before, so that a change alone decides; KIT_TEST_RANDOM=1 searches among new ones.
hypothesis.settings.register_profile(
    "kit",
    deadline=None,
    derandomize="KIT_TEST_RANDOM" not in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("kit")


@pytest.fixture(scope="session", autouse=True)
def _interrupts_reach_children() -> Iterator[None]:
    """Where the tests run in the background SIGINT is ignored, and children would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep settings, presets and keys out of the user's own folder and keyring."""
    folder = tmp_path_factory.mktemp("config")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIT_CONFIG", str(folder))
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
        patch.delenv("KIT_PASSPHRASE", raising=False)
        for variable in [name for name in os.environ if name.startswith("KIT_") and name.endswith(("_KEY", "_SECRET"))]:
            patch.delenv(variable)
        yield folder


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


@pytest.fixture
def venue(monkeypatch: pytest.MonkeyPatch) -> FakeVenue:
    """Stand in for every exchange that a core connects to."""
    venue = FakeVenue()
    monkeypatch.setattr("kit.connectors.connector_manager.CcxtExchange", lambda *_, **__: venue)
    return venue
