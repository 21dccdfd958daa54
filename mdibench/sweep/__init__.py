"""Sweeps: many runs of one config, over the combinations of its axes or in search of a rate.

Rules: a sweep can be stopped at any time and resumed; finished runs are never repeated; repeats of
the cells are interleaved. The runs themselves are those of ``rank`` and ``simulation``.

Called by ``mdibench sweep``. Read it in this order: ``matrix`` (the cells), ``sweep_record`` (what
is done), ``crew`` (processes that run several cells), ``search``, ``sweep``.
"""
