"""What a trading core is made of, beside its connectors: the live switch, its loop, its log, the strategy in place."""
