"""Order books and what keeps them in step with the exchange."""
