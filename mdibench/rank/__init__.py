"""The life of a real rank under MPI: launch, setup, loop, compute thread, records, ending.

Rules: MPI belongs to the loop's thread, the engine to the compute thread; waiting sleeps; an error
on one rank ends the job, and no user sees a traceback. Virtual time is in ``simulation``.

Called by ``mdibench run``, ``mdibench probe``, ``mdibench doctor`` and ``sweep``. Read it in this
order: ``launch``, ``lifecycle``, ``loop``, ``computing``, ``hooks``, ``ending``, ``energy``; then
``probing``, and the checks of ``doctor``: ``machine``, ``mpi_check``, ``host_comparison``.
"""
