"""Backtests: the same core on a clock that does not wait, results, parity with live sessions, sweeps."""
