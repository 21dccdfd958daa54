"""From a config and a number of ranks to a plan: topology, placement, routes, links, devices.

Pure: no clock, no file, no torch. Entered by ``planning.make_plan``; ``plan`` holds the records.
"""
