"""Every path, seed, name and hyper-parameter, with its reason beside it.

Frozen dataclasses and constants only; columns and dtypes live in ``schema.py``. Importing this module
reads no environment variable and no file: the shells do that and pass the result on.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, get_args

# --- Where things are -----------------------------------------------------------------------------

DATA_DIR_VARIABLE: Final = "SKIP_PIPELINE_DATA_DIR"
STORAGE_VARIABLE: Final = "SKIP_PIPELINE_STORAGE_URL"
TIME_ZONE_VARIABLE: Final = "SKIP_PIPELINE_TIMEZONE"
TRAIN_DAYS_VARIABLE: Final = "SKIP_PIPELINE_TRAIN_DAYS"
DAGSTER_URL_VARIABLE: Final = "SKIP_PIPELINE_DAGSTER_URL"
MLFLOW_URL_VARIABLE: Final = "SKIP_PIPELINE_MLFLOW_URL"
WEBHOOK_VARIABLE: Final = "SKIP_PIPELINE_WEBHOOK_URL"  # of the chat that gets the morning message; a secret
MAIL_TO_VARIABLE: Final = "SKIP_PIPELINE_MAIL_TO"  # addresses that get a mail of a failed night
MAIL_FROM_VARIABLE: Final = "SKIP_PIPELINE_MAIL_FROM"
MAIL_PASSWORD_VARIABLE: Final = "SKIP_PIPELINE_MAIL_PASSWORD"  # noqa: S105 - the variable's name
SMTP_HOST_VARIABLE: Final = "SKIP_PIPELINE_SMTP_HOST"
TRACKING_URI_VARIABLE: Final = "MLFLOW_TRACKING_URI"  # MLflow's own name; a server set there wins
DAGSTER_HOME_VARIABLE: Final = "DAGSTER_HOME"  # Dagster's own name

DEFAULT_DATA_DIR: Final = Path("data")
DEFAULT_DAGSTER_URL: Final = "http://127.0.0.1:3000"  # where `make ui` serves; links in MLflow point here
DEFAULT_MLFLOW_URL: Final = "http://127.0.0.1:5000"  # where `make ui` serves; links in Dagster point here


@dataclass(frozen=True)
class DataLayout:
    """The numbered folders of a data directory; each stage writes to its own folder.

    Attributes:
        root: the data directory, on this machine.
        shared: where ``01_raw`` to ``05_bundles`` lie, if not there: storage that other machines see too
            (``locations.location``).
    """

    root: Path
    shared: Path | None = None

    @property
    def tables(self) -> Path:
        """What holds ``01_raw`` to ``05_bundles``."""
        return self.root if self.shared is None else self.shared

    @property
    def raw(self) -> Path:
        """Folder that holds ``training_set/`` and ``track_features/``.

        ``01_raw``, or what holds it where a public archive was unpacked straight there (the archives' own
        top folder is called ``data``).
        """
        numbered = self.tables / "01_raw"
        if not (numbered / TRAINING_SET).is_dir() and (self.tables / TRAINING_SET).is_dir():
            return self.tables
        return numbered

    @property
    def session_log_summaries(self) -> Path:
        """What was found in each session log, so that an unchanged one is not judged again."""
        return self.tables / "01_summaries" / "session_logs"

    @property
    def track_feature_summaries(self) -> Path:
        """What was found in the track features."""
        return self.tables / "01_summaries" / "track_features"

    def judgements(self, asset: str) -> Path:
        """What was found in each shard of an asset's files, so that an unchanged one is not judged again."""
        return self.tables / "01_summaries" / asset

    @property
    def merged(self) -> Path:
        """Log rows with their track's features, a parquet file per shard, and the track table."""
        return self.tables / "02_merged"

    @property
    def encoded(self) -> Path:
        """Categories as indicators, a parquet file per shard, and each shard's sessions."""
        return self.tables / "03_encoded"

    @property
    def scaled(self) -> Path:
        """Track features in [0, 1], a parquet file per shard, each shard's sessions, the scaler."""
        return self.tables / "04_scaled"

    @property
    def bundles(self) -> Path:
        """The scaled tracks, and a folder of small ``.npy`` records per shard (see ``bundles.parts``)."""
        return self.tables / "05_bundles"

    @property
    def model(self) -> Path:
        """The trained network, its history and its settings."""
        return self.root / "06_model"

    @property
    def baselines(self) -> Path:
        """Predictions of the baselines for the validation, gate and test sessions."""
        return self.root / "06_baselines"

    @property
    def best(self) -> Path:
        """The best of the night: which models were compared, and the served model of the one chosen."""
        return self.root / "06_best"

    @property
    def report(self) -> Path:
        """metrics.json, predictions.parquet and report.html."""
        return self.root / "07_report"

    @property
    def own_listening(self) -> Path:
        """The page about oneself, own_listening.html; only for own listening."""
        return self.root / "07_own_listening"

    @property
    def monitoring(self) -> Path:
        """How far the newest data is from what the champion was trained on."""
        return self.root / "07_monitoring"

    @property
    def promotion(self) -> Path:
        """The last decision on who serves, with its reasons."""
        return self.root / "07_promotion"

    @property
    def predictions(self) -> Path:
        """The served model's predictions for the raw folder's ``test_set``, a parquet file for each pair."""
        return self.root / "08_predictions"

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artifacts, unless ``MLFLOW_TRACKING_URI`` names a server."""
        return self.root / "mlflow"

    @property
    def dagster(self) -> Path:
        """Dagster's instance, unless ``DAGSTER_HOME`` names one."""
        return self.root / "dagster"


# Folder names of the public archives, so that an archive unpacks into place.
TRAINING_SET: Final = "training_set"
TRACK_FEATURES: Final = "track_features"
TEST_SET: Final = "test_set"  # sessions cut in half, whose second halves are to be predicted
TRUTH_FOLDER: Final = "truth"
"""Beside them: outcomes of the second halves, where known. The challenge's evaluator alone reads them."""

SYNTHETIC_MARKER: Final = "SYNTHETIC.json"
"""A file of this name beside the raw folders marks everything downstream as ``synthetic``."""

OWN_LISTENING_MARKER: Final = "OWN_LISTENING.json"
"""A file of this name beside the raw folders names whose listening the logs are (``raw.own_listening``)."""

TRACK_GROUPS_FILE: Final = "track_groups.csv"
"""Beside that marker: numbers of the artist and the album of each track, columns ``schema.TRACK_GROUPS``."""

NAMES_FILE: Final = "names.parquet"
"""Beside that marker, only if it was asked for: names of tracks, artists and albums, ``schema.NAMES``."""

SITTING_PAUSE_MINUTES: Final = 30.0
"""In own listening a longer pause begins another session: the customary limit for sessions in logs (Catledge
and Pitkow, 1995, found 25.5 minutes)."""

ORACLE_FILE: Final = "oracle.parquet"
"""Beside the marker: the best possible predictions for synthetic sessions. The report alone may read it."""

DELIVERED_FILES: Final = "delivered_files"
"""Detail of the manifests of ``01_summaries``: each raw file as it was found."""

# File names inside the stage folders.
TRACK_TABLE: Final = "_tracks.parquet"  # leading underscore: parquet readers skip it as metadata
SESSIONS_FOLDER: Final = "_sessions"
SCALER_FILE: Final = "scaler.json"
NETWORK_FILE: Final = "skip_model.keras"
ONNX_FILE: Final = "skip_model.onnx"
CALIBRATION_FILE: Final = "calibration.json"
DECISION_RULE_FILE: Final = "decision_rule.json"
BASELINES_FILE: Final = "baselines.parquet"
BASELINE_TRACKS_FILE: Final = "baseline_tracks.parquet"
BASELINE_FITS_FILE: Final = "baselines.json"
HANDMADE_FILE: Final = "handmade_models.onnx"  # regression and trees
BLEND_FILE: Final = "blend.json"  # weights of the models of a version
HISTORY_FILE: Final = "history.json"
TRAINING_FILE: Final = "training.json"
METRICS_FILE: Final = "metrics.json"
PREDICTIONS_FILE: Final = "predictions.parquet"
REPORT_FILE: Final = "report.html"
OWN_LISTENING_PAGE: Final = "own_listening.html"
NEWEST_TENTH_FILE: Final = "newest_tenth.json"

DataSource = Literal["real", "synthetic"]

# --- Splits -----------------------------------------------------------------------------------------

SPLIT_SHARES: Final[dict[str, float]] = {"train": 0.7, "validation": 0.1, "gate": 0.1, "test": 0.1}
"""Gate and test divide the published fifth: gate sessions choose the champion, and the report needs sessions
that choose nothing. Validation is taken from the published four fifths, for early stopping."""

SPLIT_HASH_KEY: Final = "skip_pipeline.v1"
"""16 bytes, the key of the session hash. Changing it moves sessions between splits and makes every
earlier test score incomparable."""

# --- Errors -----------------------------------------------------------------------------------------

EXAMPLES_SHOWN: Final = 5
"""Rows or values listed in an error or warning: enough to show a pattern, few enough to read."""

# --- Training ---------------------------------------------------------------------------------------

Preset = Literal["fast", "published", "single_input"]


Schedule = Literal["cosine", "plateau"]
SCHEDULES: Final[tuple[str, ...]] = get_args(Schedule)


@dataclass(frozen=True)
class TrainingSettings:
    """How one network is trained; all of it is run config in Dagster and parameters in MLflow."""

    preset: Preset
    max_epochs: int  # passes through the training sessions
    batch_size: int  # sessions per step
    learning_rate: float  # maximum
    schedule: Schedule  # plateau: cut while the validation loss is flat; cosine: up, then down to 0
    stopping_patience: int  # epochs without a better validation loss before training stops
    stopping_min_delta: float  # a smaller gain in validation loss does not count as better
    dropout: float | None  # None: the preset's own rates
    plateau_patience: int = 4  # flat epochs before the learning rate is cut
    plateau_factor: float = 0.1  # what the learning rate is multiplied by then
    warm_up: float = 0.1  # of a cosine's steps, the share on which the rate rises
    weight_decay: float = 0.0  # share of a weight that a step takes away, per unit of learning rate
    beta_2: float = 0.999  # of Adam: memory of squared gradients; Keras' default
    averaged_steps: int = 0  # the weights that are kept are a fading mean over so many steps; 0: the last
    least_steps: int = 0  # of gradient descent: with few sessions, more epochs than max_epochs
    cut_sessions: float = 0.0  # share of the sessions whose outcomes are hidden from a random step on
    mixed_precision: bool = False  # layers compute in bfloat16; weights stay float32
    seed: int = 0  # of the initial weights, dropout and shuffling


_PUBLISHED: Final = TrainingSettings(  # values of the publication, see networks.published
    preset="published",
    max_epochs=100,
    batch_size=848,
    learning_rate=1e-3,  # Adam's default in Keras; the publication gives none
    schedule="plateau",
    stopping_patience=15,
    stopping_min_delta=1e-4,
    dropout=None,
)

PRESETS: Final[dict[Preset, TrainingSettings]] = {
    # docs/networks.md compares each value with others.
    "fast": TrainingSettings(
        preset="fast",
        max_epochs=12,
        batch_size=128,
        learning_rate=8e-3,
        schedule="cosine",
        stopping_patience=1000,  # never early: at a high rate the validation loss predicts little
        stopping_min_delta=1e-4,
        dropout=None,
        weight_decay=0.3,
        beta_2=0.99,
        cut_sessions=0.5,  # so that it also learns to predict several tracks ahead
        averaged_steps=50,  # 900 to 1,500 sessions of one real listener: log-loss 0.002 better than without
        least_steps=600,  # 500 sessions of one real listener: log-loss 0.479 in 64 steps, 0.435 in 320
    ),
    "published": _PUBLISHED,
    # The publication reports only its accuracy; its training settings are those of the published network.
    "single_input": replace(_PUBLISHED, preset="single_input"),
}
DEFAULT_PRESET: Final[Preset] = "fast"
WITH_MEMORY: Final[tuple[Preset, ...]] = ("fast",)  # presets whose inputs include the memory of tracks

TF_CONFIG_VARIABLE: Final = "TF_CONFIG"  # TensorFlow's own: the workers' addresses, and which one this is

WORKER_ANSWER_SECONDS: Final = 600.0
"""Timeout for a worker that runs but does not answer. Between two steps a worker gathers a batch; the chief
also records an epoch, which takes at most two minutes when the tracking server is down."""

PREDICTION_BATCH_SIZE: Final = 1024
"""Sessions per batch of predictions: 5.4 MB of inputs; larger batches are no faster on two cores."""

# --- Baselines ----------------------------------------------------------------------------------------

BASELINE_SESSIONS: Final = 20_000
"""Maximum of training sessions for regression and trees, drawn at random: 340,000 examples, 1 GB and 17 s
on one core."""

BASELINE_SEED: Final = 0  # of the draw and of the trees' bins

# --- Evaluation -------------------------------------------------------------------------------------

DECISION_THRESHOLD: Final = 0.5
"""A track is predicted as played to its end from this probability on."""

CALIBRATION_BINS: Final = 10
"""Bins of the reliability curve and of the calibration error: 100 of 1,000 test sessions in each. Bins have
equal counts, because the error of a bin with few sessions is mostly noise (Nixon et al., 2019)."""

CONFIDENCE: Final = 0.95
"""Of every interval of the report."""

BOOTSTRAP_RESAMPLES: Final = 1_000
"""Resamples for a percentile interval: the minimum of Efron and Tibshirani (1993). The error of each end is
about 2% of the interval's width."""

BOOTSTRAP_SEED: Final = 20_180_715  # any fixed number: equal sessions and probabilities give equal intervals

FEW_SESSIONS: Final = 100
"""A slice with fewer sessions is marked: at 75% accuracy its interval is wider than 17 points."""

IMPORTANCE_SESSIONS: Final = 1_000
"""Test sessions for importance; each is predicted again for each of 14 groups of inputs, which takes the fast
network 1 s. On synthetic data a rise of 0.02 nats is then significant (2,000 sessions: 0.013)."""

IMPORTANCE_SEED: Final = 0  # of the choice of sessions and of the permutations

MISTAKES_SHOWN: Final = 10
"""Sessions in the report's list of worst predictions: one screen."""

FILES_SHOWN: Final = 20  # rows of a materialization's file table; the manifest has all files

OWNER: Final = "team:listening"

# --- MLflow and Dagster -----------------------------------------------------------------------------

EXPERIMENT: Final = "skip_pipeline"
EXPERIMENT_TAGS: Final[dict[str, str]] = {
    "mlflow.experimentKind": "custom_model_development",  # else MLflow opens it on a page for chat traces
    "mlflow.note.content": "Will a listener skip the next track? One run per night or run by hand, named by "
    "its time and decision; below it one nested run per materialized asset. "
    "The label is not_skipped of a session's last track: 1 played to its end, 0 skipped. Log-loss is in "
    "nats, accuracy a share; seconds and bytes are in their names.",
}
MODEL_NAME: Final = "skip_model"  # registered; what serves without TensorFlow
KERAS_MODEL_NAME: Final = "skip_network"  # logged beside it, in Keras' own format
NIGHTLY_CRON: Final = "0 2 * * *"  # after the day's last sessions have ended, before anyone is at work
DEFAULT_TIME_ZONE: Final = "UTC"
LOGS_FAIL_AFTER_HOURS: Final = 36  # a night was missed and the next is half way
LOGS_WARN_AFTER_HOURS: Final = 26  # a night that is two hours late
VERSIONS_SHOWN: Final = 30  # in the history on the promotion page: a month of nights
RUNS_KEPT: Final = 100  # by ``skip-pipeline prune``: three months of nights, more than the page shows

# --- Synthetic data -----------------------------------------------------------------------------------

SYNTHETIC_SESSIONS: Final = 10_000  # sessions of the public mini set
SYNTHETIC_TRACKS: Final = 50_704  # tracks of the public mini set
SYNTHETIC_SEED: Final = 0

TRACKING_ENVIRONMENT: Final[dict[str, str]] = {
    # A server that is down should cost a run seconds, where MLflow's defaults can cost it minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # Else a server that answers 429 or 503 decides how long a run sleeps, an hour if it says so.
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    # No message about a new store in the terminal of a run.
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # Nor a bar of downloads.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""MLflow's own environment variables, set unless the user has set them. A question that finds no answer then
takes at most 35 s: three times ten, and the pauses between."""

TRACKING_PATIENCE_SECONDS: Final = 300.0
"""Time that a tracking store may take in one run, all records together; what is not recorded then is kept,
and delivered later. A night of the demo takes 6 s, on a server with PostgreSQL and S3 25 s."""

QUESTION_SECONDS: Final = 35.0
"""Time that one record or question may take when there is none of that left: see `TRACKING_ENVIRONMENT`."""

MODEL_SECONDS: Final = 1_800.0
"""Time that the files of a model may take on their way to or from the store: 200 MB at 1 Mbit/s."""

DELIVERY_SECONDS: Final = 30.0
"""The same, of the daemon's sensor: half of the time that Dagster gives a sensor."""

# --- Engine -------------------------------------------------------------------------------------------

EngineKind = Literal["in_process", "processes", "dask"]


@dataclass(frozen=True)
class EngineSettings:
    """Where the work on shards runs; the results are the same everywhere."""

    kind: EngineKind = "in_process"  # needs nothing, and a small set is done before a worker has started
    workers: int | None = None  # None: one per core this process may use; ignored at a scheduler's address
    address: str = ""  # of a Dask scheduler, e.g. tcp://10.0.0.5:8786; "": a cluster started on 127.0.0.1
    retries: int = 2  # two deaths may be bad luck on a machine that is short of memory, a third is not
    shards_ahead: int = 4  # per worker, handed out before the oldest is consumed; evens out unequal shards
    connect_seconds: float = 5.0  # a scheduler on any network answers within one


SINGLE_THREADED: Final[dict[str, str]] = {
    "OMP_NUM_THREADS": "1",  # Arrow's CPU pool too takes its size from this one
    "OPENBLAS_NUM_THREADS": "1",  # NumPy's wheels
    "MKL_NUM_THREADS": "1",  # NumPy built against MKL
}
"""Environment of a worker before it starts: as many workers as cores already keep every core busy, and
pools of threads in each would only take turns. A variable that the user has set stays. Dask does the same,
with the same three, for the workers that it starts."""

# --- Environment variables that people set --------------------------------------------------------------


@dataclass(frozen=True)
class Variable:
    """An environment variable, for `skip-pipeline doctor` and the reference."""

    name: str
    meaning: str
    default: str
    secret: bool = False  # its value is never shown


VARIABLES: Final[tuple[Variable, ...]] = (
    Variable(DATA_DIR_VARIABLE, "data directory", f"`{DEFAULT_DATA_DIR}/`"),
    Variable(
        STORAGE_VARIABLE,
        "path or URL of the folder of `01_raw` to `05_bundles`, if several machines share it",
        "the data directory",
    ),
    Variable(TIME_ZONE_VARIABLE, "time zone of the nightly schedule", f"`{DEFAULT_TIME_ZONE}`"),
    Variable(TRAIN_DAYS_VARIABLE, "number of newest days of the data for a night's training", "all"),
    Variable(WEBHOOK_VARIABLE, "webhook of a chat for the morning message; a secret", "none", secret=True),
    Variable(MAIL_TO_VARIABLE, "addresses that get a mail of a failed night, separated by commas", "none"),
    Variable(MAIL_FROM_VARIABLE, "address that sends these mails", "none"),
    Variable(MAIL_PASSWORD_VARIABLE, "its password; a secret", "none", secret=True),
    Variable(SMTP_HOST_VARIABLE, "mail server that takes these mails", "none"),
    Variable(TRACKING_URI_VARIABLE, "MLflow server or database", "SQLite in `<data>/mlflow`"),
    Variable(
        DAGSTER_HOME_VARIABLE,
        "Dagster's instance, an existing folder; its `dagster.yaml` is not changed",
        "`<data>/dagster`",
    ),
    Variable(DAGSTER_URL_VARIABLE, "target of the links from MLflow to Dagster", f"`{DEFAULT_DAGSTER_URL}`"),
    Variable(MLFLOW_URL_VARIABLE, "target of the links from Dagster to MLflow", f"`{DEFAULT_MLFLOW_URL}`"),
    Variable(
        TF_CONFIG_VARIABLE, "TensorFlow's own: the workers of a training on several machines", "one machine"
    ),
)
