"""The synthetic listening world: seeded catalogue, listeners and sessions in the raw format.

``world.py`` draws a world block by block and ``synthesize.py`` writes it. ``constants.py`` and
``track_constants.py`` hold the numbers that make it resemble the published statistics of the real data;
``benchmarks/world_figures`` compares the two. No stage imports this package, and it imports none.
"""
