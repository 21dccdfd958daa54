"""Reports: the figures of ``analysis`` as tables, drawings and text, in every output format."""

TEXT_WIDTH = 80
"""Columns of every text output."""
