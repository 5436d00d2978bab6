"""Dagster and MLflow: thin shells around ``stages``, ``training``, ``nightly`` and ``report``.

No module with an asset imports ``annotations`` from ``__future__``, because Dagster reads them at run time.
"""

from skip_pipeline.environment import settle

settle()  # before any module of this package imports a library
