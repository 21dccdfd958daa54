"""A run's config: from TOML text to one frozen, checked ``RunConfig``.

Rules: every mistake is reported at once, each with file, line, key and remedy; what follows from
the keys of a section is a property of that section in ``schema``. Only ``reading`` opens files.

Called by every command, by ``rank.lifecycle`` and ``simulation.scenario``; ``network``,
``assembly`` and ``sweep`` take the config that it returns. Read it in this order: ``schema`` (the
keys), ``origins`` (where a key was written), ``checks`` (values that contradict each other),
``messages`` (the wording of mistakes), ``reading`` (all of it together).
"""
