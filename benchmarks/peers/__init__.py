"""Other ways to run the same pipeline on the same cores: what mdibench is measured against.

``python -m benchmarks.peers`` runs all in turn and prints a table. Each peer is one small program
of what its own documentation recommends; one whose library is missing is skipped with its reason.
"""
