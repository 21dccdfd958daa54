"""From a snapshot to lines of text: pure functions of (snapshot, width, height, options).

A line is a list of (text, role) pieces; a role names the meaning of a piece (``accent``, ``bad``,
``rank3``), and a theme gives it a style. Nothing here imports Textual.
"""
