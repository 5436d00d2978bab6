"""What ``test_kill`` does in processes of their own, which kill themselves.

They are forks of a process that has imported this module and done nothing else, so that not each of them
imports Dagster, MLflow and scikit-learn, which takes longer than most of the runs.
"""

import os
import signal
import sys
from pathlib import Path

import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
import sklearn.ensemble  # noqa: F401

from skip_pipeline import code_version, settings
from skip_pipeline.definitions import defs
from skip_pipeline.defs.launch import HOME_VARIABLE, materialize
from skip_pipeline.settings import DataLayout


def run(asset, fatal, root, log):
    """Materialize one asset below ``root``, and die at the ``fatal``-th move of a file; at none for 0."""
    with log.open("w") as written:
        os.dup2(written.fileno(), sys.stderr.fileno())
    os.environ[settings.DATA_DIR_VARIABLE] = str(root)
    os.environ[HOME_VARIABLE] = str(DataLayout(root).dagster)
    moves = 0

    def dying(move):
        def moving(self, target):
            nonlocal moves
            if "mlflow" not in str(self) and "dagster" not in str(self):
                moves += 1
                if moves == fatal:
                    os.kill(os.getpid(), signal.SIGKILL)
            return move(self, target)

        return moving

    Path.rename, Path.replace = dying(Path.rename), dying(Path.replace)
    # Code that no run before had: nothing is kept, everything is made and moved.
    code_version._library_version = lambda _distribution: str(os.getpid())

    quick = {"preset": "single_input", "max_epochs": 1, "batch_size": 16, "seed": 3}
    config = {"ops": {"trained_model": {"config": quick}}}
    outcome = materialize(defs(), [asset], config if asset == "trained_model" else {}, lambda _event: None)
    sys.exit(0 if outcome.success else 1)
