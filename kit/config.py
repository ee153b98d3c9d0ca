"""Settings and credentials of this machine's user."""
