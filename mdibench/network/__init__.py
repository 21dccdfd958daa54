"""From a config and a number of ranks to a plan: topology, placement, routes, links, devices.

Pure: no clock, no file, no torch, and the same input gives the same plan on every rank. Called
through ``planning.make_plan``, by ``assembly.workload``, ``rank.lifecycle`` and
``simulation.scenario``. Read it in this order: ``plan`` (the records), ``devices``, ``topology``,
``wiring``, ``placement``, ``planning``.
"""
