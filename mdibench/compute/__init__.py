"""Engines: who runs block k and its exit head, for real, from a recording, or not at all."""
