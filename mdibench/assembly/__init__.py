"""What real and simulated runs have in common, made from a config and a plan.

Rules: no MPI and no virtual clock here, so that both worlds get the same state machines, the same
manifest and the same rows. Importing it loads no torch.

Called by ``rank`` and ``simulation``. Read it in this order: ``environment`` (before anything
heavy is imported), ``workload``, ``state_machines``, ``manifest``, ``sampling``, ``progress``.
"""
