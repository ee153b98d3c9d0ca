"""The embedded cluster that a sweep's trials run on."""

import logging

from kit.backtest.sweep_workers import _embedded


def test_waits_that_run_out_as_the_cluster_ends_show_nothing_and_errors_do(tmp_path, caplog):
    with _embedded(1, tmp_path) as client:
        loop = client.loop.asyncio_loop
        assert loop is client.cluster.loop.asyncio_loop
        assert client.submit(int, "7").result(60) == 7
    # As a future that nobody waited for says when it goes, some time after its loop has ended.
    loop.call_exception_handler({"message": "never retrieved", "exception": TimeoutError("Timeout")})
    assert told(caplog) == []
    loop.call_exception_handler({"message": "never retrieved", "exception": ValueError("broken")})
    assert told(caplog) == ["never retrieved"]


def told(caplog):
    """Return what asyncio logged; Dask's own lines are its own."""
    return [
        record.getMessage() for record in caplog.records if record.name == "asyncio" and record.levelno > logging.INFO
    ]
