"""The pure part: what a worker and the source decide, without clock, randomness, torch or MPI.

Rules of this package:

* standard library only, and neither ``time`` nor ``random`` is imported at run time;
* time and a seeded generator are handed in;
* events go in, instructions come out; a driver performs them (``rank.loop``, ``simulation.world``);
* what can happen stands in tables; anything else is an ``InvariantError`` that tells its story.

Read it in this order: ``records`` (what travels), ``rows`` (what is recorded), ``events`` (what
goes in and out), ``transitions`` (the tables, and stories), ``queues``, ``setup``, ``neighbours``,
``worker_base`` with ``worker`` (algorithms 1 and 2), ``ledger``, ``precision``, ``source``,
``node``; then ``pricing`` and ``pressure_worker`` (scheme ``pressure``), and ``wire`` (messages as
bytes).
"""
