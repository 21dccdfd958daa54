"""The monitor: its own process, which follows a run's files.

This half is headless: ``feed`` reads the run folder, ``tables`` hold its rows, ``snapshot_view``
gives the frozen ``Snapshot`` of any moment, ``story`` the story of one item, and ``plain`` prints
lines where there is no terminal. ``app`` is the Textual half; nothing else imports Textual. Only
``feed`` reads files; only ``mpirun_terminal`` and ``app`` use a terminal.
"""
