"""Documents, tables and figures about plans and recorded runs."""

WIDTH = 80
"""Columns of the terminal that texts are made for."""
