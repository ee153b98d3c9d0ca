"""The `kit` command, one module a subcommand; each has ``configure(parser)`` and ``run(args) -> exit code``."""
