"""``python -m kit.guard``: the guard as a process of its own; only a core starts it."""

from kit.guard.process import main

if __name__ == "__main__":
    main()
