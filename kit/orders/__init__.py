"""Orders in flight, balances, and what keeps both in step with the exchange."""
