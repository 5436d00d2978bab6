"""Every published statistic beside the one measured on a raw folder.

``measures.py`` takes the figures from two tables, ``comparison.py`` judges them against ``published.json``,
``page.py`` and ``terminal.py`` show the result. The generator reads nothing of this package.
"""
