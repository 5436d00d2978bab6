"""The synthetic listening world: seeded catalogue, listeners and sessions in the raw format.

Arrays and CSVs only; no stage of the flow reads this package, and it knows the flow only through
``schema.py``. The published figures that it is calibrated to live in ``figures.py`` and
``track_figures.py``.
"""
