"""What is written to disk and read again: recordings of markets, sessions, histories."""
