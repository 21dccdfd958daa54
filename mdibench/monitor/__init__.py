"""The monitor: a process of its own that follows a run's files.

This half draws nothing: ``feed`` reads the run folder, ``tables`` take its rows in any portions,
``snapshot_view`` gives the frozen ``Snapshot`` of any moment, ``story`` tells one item's way, and
``plain`` prints lines where there is no terminal. ``app`` is the Textual half, and the only one
that imports it. Only ``feed`` reads files; only ``mpirun_terminal`` touches a terminal.
"""
