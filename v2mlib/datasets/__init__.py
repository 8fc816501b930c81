"""Data sets: folders of recordings and photographs, and their truth."""

from v2mlib.datasets.world import World, load_world

__all__ = ["World", "load_world"]
