"""What we asked the exchange for and what became of it: orders in flight, fills, balances, reconciliation, budget."""
