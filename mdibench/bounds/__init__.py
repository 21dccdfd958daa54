"""Bounds from linear programs: the highest rate and the best accuracy that any policy can reach."""
