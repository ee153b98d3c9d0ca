"""Time and talk: clock, events, background tasks, network health, rate limits."""
