"""One file a command, each with ``add_arguments(parser)`` and ``run(options)``; heavy imports stand inside ``run``."""
