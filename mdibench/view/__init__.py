"""What the monitor shows, as a pure fold: rows of a run become tables, tables become a snapshot.

``Tables`` take rows in any portions, live or in bulk; ``look`` gives the frozen ``Snapshot`` of a
moment, any moment: the present of a live run, or one that a replay seeks. Nothing here reads a
clock, a file or a terminal, and nothing here knows Textual. ``story`` tells one item's way.
"""

from mdibench.view.facts import RunFacts, facts_of
from mdibench.view.look import look
from mdibench.view.snapshot import Snapshot
from mdibench.view.story import Story, tell
from mdibench.view.tables import Tables

__all__ = ["RunFacts", "Snapshot", "Story", "Tables", "facts_of", "look", "tell"]
