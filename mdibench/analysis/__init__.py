"""Figures of recorded runs: frames, metrics, statistics, checks and comparison.

Reads the files of runs; knows no policy, state machine or transport.
"""
