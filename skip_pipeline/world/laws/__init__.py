"""Laws of listener behaviour: what decides whether a track is played to its end.

``law.py`` is what a law gives and gets, ``registry.py`` finds one by its name, and ``reactions.py`` and
``oracle.py`` serve every law with finitely many hidden states. ``docs/world_laws.md`` has the formulas.
"""
