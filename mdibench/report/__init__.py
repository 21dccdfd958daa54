"""Reports: the figures of ``analysis`` as tables, drawings and text, in every output format.

Rules: nothing is computed here that ``analysis`` or ``bounds`` can compute; a ``Document`` is data,
and only the modules of the formats know how it looks. matplotlib is imported only for figures.

Called by ``cli``. Read it in this order: ``document``, ``tables`` and ``terminal``, ``report`` with
``run_tables``, ``run_figures``, ``group_figures`` and ``explanation``, ``drawing``, then the
formats: ``formats``, ``html``, ``perfetto``; ``bound_text``, ``plan_text``, ``comparisons``.
"""

TEXT_WIDTH = 80
"""Columns of every text output."""
