"""Training and measurement of networks with exits: all that a board never needs to run a network.

Rules: deterministic for a seed; a trained network leaves as a weights file with a model card, a
measured one as a profile folder. What trains imports torch.

Called by ``mdibench train`` and ``mdibench profile``, by ``simulation.scenario`` for recordings
and by ``assembly`` for calibrated thresholds. Read it in this order: ``loop``, ``training_job``,
``bottleneck``, ``recordings``, ``calibration``, ``profiling``.
"""
