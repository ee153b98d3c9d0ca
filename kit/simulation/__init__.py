"""The simulated venue of paper trading and backtests: matching, queue positions, latency, fees."""
