"""``python -m kit.testnet``: a test exchange as a process of its own."""

import sys

from kit.testnet.command import main

if __name__ == "__main__":
    sys.exit(main())
