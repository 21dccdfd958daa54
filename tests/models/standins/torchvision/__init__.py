"""Stands in for torchvision where that is not installed: see ``models``."""
