"""The synthetic listening world: seeded catalogue, listeners and sessions in the raw format.

``world.py`` puts it together and ``synthesize.py`` writes it; ``published.json`` holds the statistics that it
is calibrated to, ``figures.py`` and ``track_figures.py`` what follows from them. No stage of the flow reads
this package, and it reads none; the raw format is in ``schema.py``.
"""
