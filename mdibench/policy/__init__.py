"""Decisions: pure functions of what a worker or the source knows, registered by name.

Rules: standard library only; a decision gets a frozen view and a seeded generator, and returns what
to do without doing it. Called by ``core.worker`` and ``core.source``.

``exits`` is algorithm 1, ``offloading`` algorithm 2 with its alternatives, ``admission`` algorithms
3 and 4; ``schemes`` names the combinations. To add a policy, write a function with the signature in
``views`` and a line in ``schemes``. Read ``views`` first.
"""
