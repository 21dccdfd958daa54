"""The monitor: a process of its own that follows a run's files and draws them.

``feed`` reads the run folder, ``view`` folds what it reads into a snapshot, ``paint`` turns a
snapshot into lines of text with roles, ``app`` puts the lines on the screen and listens to keys.
Only ``app`` and the modules it imports know Textual: ranks, ``--plain`` and ``terminal`` do not.
"""
