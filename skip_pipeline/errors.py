"""The errors that this package raises on purpose.

    SkipPipelineError
    ├── MissingInputError   a file, folder or earlier stage that a step needs is not there
    │   ├── UnreachableError    a model registry does not answer
    │   └── NoChampionError     no version is champion, or none that may be used
    ├── BadInputError       a raw file breaks its contract: columns, types, values, order
    │   └── BrokenSessionError  a session's rows are not positions 1 to its length
    ├── ContractError       a table or bundle made here does not have the shape the next stage expects
    ├── BusyError           another process is writing the same folder
    ├── DiskError           the system does not open, read or write a file
    │   └── FullDiskError       there is no space for what is being written
    ├── RefusedError        the request would overwrite something, or its arguments are impossible
    ├── TrainingError       training cannot start, or has produced a model that must not be used
    └── EngineError         workers cannot be reached, differ from this process, or died on a shard

Every message states the fact, the expectation and the remedy, and names the file, column and rows.
"""

from typing import Final

MORE_OPEN_FILES: Final = (
    "allow more open files (`ulimit -n 4096` before the command, or LimitNOFILE of a service)"
)
"""The remedy where a process may open no more files. It is here, because no module can be imported then."""


class SkipPipelineError(Exception):
    """Base of the tree; any other exception is a defect of this package."""


class MissingInputError(SkipPipelineError):
    """Raised when a step finds nothing to read where its input should be."""


class UnreachableError(MissingInputError):
    """Raised when a model registry does not answer, as against answering with a refusal."""


class NoChampionError(MissingInputError):
    """Raised when no version is champion, or when the champion may not be used for the data at hand."""


class BadInputError(SkipPipelineError):
    """Raised when delivered data breaks the raw contract in ``schema.py``."""


class BrokenSessionError(BadInputError):
    """Raised when a session's rows do not form positions 1 to its length."""


class ContractError(SkipPipelineError):
    """Raised before writing, when a stage's own output breaks its contract."""


class BusyError(SkipPipelineError):
    """Raised when another process holds the folder that a step wants to publish to."""


class DiskError(SkipPipelineError):
    """Raised when the system refuses to open, read or write a file; the published files stay."""


class FullDiskError(DiskError):
    """Raised when a file cannot be written whole for lack of space; the published files stay."""


class RefusedError(SkipPipelineError):
    """Raised when a command would overwrite what it must not, or was given impossible arguments."""


class TrainingError(SkipPipelineError):
    """Raised when there is too little to train on, or the loss stops being a number."""


class EngineError(SkipPipelineError):
    """Raised when the workers fail for a reason that is not the work itself."""
