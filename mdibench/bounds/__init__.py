"""Bounds from linear programs: the highest rate and the best accuracy that any policy can reach.

Rules: no simulation and no randomness; times, links and exit shares come from a plan, a profile or
a recorded run. ``capacity`` solves the programs, and imports scipy.

Called by ``report`` for ``mdibench bound`` and ``mdibench check``, and by ``analysis`` for runs.
Read it in this order: ``inputs``, ``capacity``, ``best_accuracy``, ``optimised_placement``.
"""
