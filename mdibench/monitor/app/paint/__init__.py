"""From a snapshot to lines of text: pure functions of (snapshot, width, height, options).

A line is a list of (text, role) pieces; a role names what the piece means (``accent``, ``bad``,
``rank3``), and a theme decides how that looks. Nothing here knows Textual.
"""
