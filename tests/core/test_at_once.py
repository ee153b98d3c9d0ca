import asyncio

import pytest

from kit.core.at_once import at_once
from kit.errors import InvariantBroken


def test_a_coroutine_that_never_waits_gives_its_result():
    async def inner():
        return 20

    async def outer():
        return await inner() + 1

    assert at_once(outer()) == 21


def test_its_error_is_raised():
    async def fails():
        raise ZeroDivisionError("planned")

    with pytest.raises(ZeroDivisionError, match="planned"):
        at_once(fails())


def test_one_that_waits_is_a_defect_and_is_closed():
    closed = []

    async def waits():
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(InvariantBroken, match="must answer at once"):
        at_once(waits())
    assert closed == [True]
