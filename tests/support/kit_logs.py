"""What the kit logged, and nobody else."""

from __future__ import annotations

import logging

import pytest


def kit_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the records of the kit's own loggers.

    What earlier tests left to the garbage collector may be told in asyncio's name at any time.
    """
    return [record for record in caplog.records if record.name.startswith("kit.")]
