"""Raw log rows in, the probability of a skip out; without TensorFlow, Dagster or MLflow.

    package    a served model as a folder of plain files: pack, load
    model      a served model in memory: sessions in, probabilities out
    requests   JSON-like values to sessions, judged field by field
    logs       log files to sessions, in one pass over their columns
    sessions   sessions in the bundles' records, and the network's inputs from them
    tracks     the tracks that a model knows
    batch      probabilities for whole log files, shard by shard
    server     the HTTP server, and ``follow`` how it changes models while it runs

``pyfunc_model`` alone is MLflow's: the file that MLflow runs when it loads the model.
"""

from __future__ import annotations

from skip_pipeline.serving.model import Scores, ServedModel
from skip_pipeline.serving.package import Description, describe, load, pack

__all__ = ["Description", "Scores", "ServedModel", "describe", "load", "pack"]
