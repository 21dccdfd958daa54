"""Decisions: pure functions of what a worker or the source knows, registered by name.

Each decision is one small file: ``exits`` and ``placing`` (algorithm 1), ``offloading`` (algorithm
2 and its rivals), ``admission`` (algorithms 3 and 4). ``schemes`` names the combinations. To add a
policy, write a function with the signature in ``views`` and a line in ``schemes``.
"""
