"""Figures of recorded runs: frames, metrics, statistics, checks and comparison.

Rules: reads the files of runs, knows no policy, state machine or transport; a figure has its
interval and the number of its observations. pandas is imported by ``frames`` alone.

Called by ``report``, the commands and ``mdibench.load``; ``shares`` by ``monitor`` too. Read it in
this order: ``statistics`` and ``shares``, ``series``, ``workers``, ``accuracy``, ``metrics``,
``steadiness``, ``checks``, ``run_groups``, ``comparison``, ``comparable_sets``, ``explain``,
``standings``, ``formatting``, ``frames``.
"""
