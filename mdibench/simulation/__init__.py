"""Runs in virtual time: the state machines of a real run under one simulated clock.

Rules: nothing in ``world`` reads a clock or draws from an unseeded generator: the same seed gives
the same rows. Run files, monitor and report are those of a real run; its label is ``simulated``.

Called by ``mdibench simulate``; ``scenario`` by ``mdibench bound`` and ``mdibench check`` too.
Read it in this order: ``scenario`` (the input), ``world`` (the event loop), ``scripted_events``
(changes during a run), ``run``.
"""
