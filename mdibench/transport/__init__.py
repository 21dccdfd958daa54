"""How messages travel: over MPI, over emulated links, or (simulated) over clocks alone.

Rules: no pickle, one thread, and nothing blocks during a run; a message that does not follow the
format is counted and refused. Only ``mpi`` imports mpi4py.

Called by ``rank``; ``links`` by ``simulation`` and ``assembly`` too. Read it in this order:
``links``, ``mpi``, ``post_office``, ``link_probe``.
"""
