"""Raw log rows in, the probability of a skip out; without TensorFlow, Dagster or MLflow.

requests       a request's JSON: validation, schema, and the sessions in it
logs           log files: the sessions in them
sessions       sessions as arrays, and the network's inputs made of them
tracks         the track table of a model
model          a served model in memory
model_folder   the folder of a served model: writing and loading it
batch          predictions for the whole test set, shard by shard
follow         which model is served, and changing it while the server runs
server         the HTTP API; ``bounds`` limits bodies, connections and time
pyfunc_model   the file that MLflow runs to load a registered model; the only one that imports MLflow
"""

from skip_pipeline.serving.model import Scores, ServedModel
from skip_pipeline.serving.model_folder import Description, load, read_description

__all__ = ["Description", "Scores", "ServedModel", "load", "read_description"]
