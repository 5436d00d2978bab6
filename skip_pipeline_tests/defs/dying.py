"""What ``test_kill`` does in a process of its own, which kills itself.

It is a fork of a process that has imported this module and done nothing else.
"""

import os
import signal
import sys
from pathlib import Path

from skip_pipeline import code_version, settings
from skip_pipeline.definitions import defs
from skip_pipeline.defs.launch import HOME_VARIABLE, materialize
from skip_pipeline.settings import DataLayout


def run(asset, fatal, root, log):
    """Materialize one asset below ``root`` anew, and die when a file is about to be moved to ``fatal``."""
    with log.open("w") as written:
        os.dup2(written.fileno(), sys.stderr.fileno())
    os.environ[settings.DATA_DIR_VARIABLE] = str(root)
    os.environ[HOME_VARIABLE] = str(DataLayout(root).dagster)
    move = Path.replace

    def dying(self, target):
        if Path(target) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return move(self, target)

    Path.replace = dying  # type: ignore[method-assign]
    vars(code_version)["_library_version"] = lambda _distribution: "a version that makes everything anew"
    materialize(defs(), [asset], {}, lambda _event: None)
