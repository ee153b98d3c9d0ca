"""The guard: a process beside the core that cancels its open orders when the core cannot.

``guard`` is the core's side: it starts ``python -m kit.guard``, sends heartbeats through a pipe and hears what was
done. Everything else that is named after what the process does (``keeper``, ``incident``, ``sweep``, ``account``,
``pulse``, ``diary``) runs in there, with an exchange client of its own.
"""
