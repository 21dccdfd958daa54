"""The monitor's screen: draws snapshots and handles keys.

``app`` reads through ``monitor.feed`` and puts snapshots on the screen, ``actions`` performs keys,
``layout`` decides which panels a screen of a given size shows, and ``paint`` turns a snapshot into
lines of text. Only this package imports Textual: ranks, ``--plain`` and ``mpirun_terminal`` do not.
"""
