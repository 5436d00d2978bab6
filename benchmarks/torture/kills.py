"""The real pipeline, killed with SIGKILL at random moments of every asset; the next run has to complete.

    python -m benchmarks.torture.kills --kills 200           # on this disk
    python -m benchmarks.torture.kills --kills 100 --s3      # stages up to the bundles on moto's S3 server

Each killed run makes one asset anew through Dagster, as code of a new version would, with its records in
MLflow. After the kill every stage is read back: it is the old generation or the new one, with every file as
in its manifest. The next run of the same version has to complete with the results of a run that nothing
disturbed, and to leave no run of Dagster or MLflow open. Meanwhile a reader compares the files of every stage
with their manifest, over and over. Rows of a Markdown table are printed.
"""

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import pyarrow.parquet as pq

from benchmarks.s3_server import s3_server
from benchmarks.torture.tally import NEW, OLD, READ, Tally, report
from benchmarks.torture.writes import STAGES, manifests, torn
from skip_pipeline import settings
from skip_pipeline.locations import file_system, files_below, location
from skip_pipeline.settings import DataLayout
from skip_pipeline.storage import Manifest, read_manifest
from skip_pipeline.world.synthesize import synthesize

FOLDERS: Final = {
    **STAGES,
    "baseline_models": "baselines",
    "trained_model": "model",
    "best_model": "best",
    "evaluation_report": "report",
    "data_drift": "monitoring",
    "champion_model": "promotion",
    "skip_predictions": "predictions",
}
"""Folder in the layout of each asset that is killed, in the order of the stages."""

FIRST_RUN: Final = "the first run of a new data directory"
"""Beside the assets: Dagster's home and MLflow's store do not exist yet."""

SAME_FILES: Final = {
    "baseline_models": (settings.BASELINES_FILE,),
    "trained_model": (settings.ONNX_FILE, settings.CALIBRATION_FILE),
    "best_model": (),
    "evaluation_report": (settings.PREDICTIONS_FILE,),
    "data_drift": (),
    "champion_model": (),
}
"""Files that have to be those of an undisturbed run, where others hold times, dates or version numbers."""

SESSIONS, TRACKS, TEST_SESSIONS = 400, 300, 40
_TRAINING: Final = {
    "ops": {"trained_model": {"config": {"preset": "fast", "max_epochs": 1, "batch_size": 64, "seed": 3}}}
}
_SLOWEST: Final = 600.0  # seconds after which a run counts as hanging
_PAUSE: Final = 0.05  # seconds between two rounds of the reader, which would slow the runs down


@dataclass(frozen=True)
class Place:
    """A data directory, and the environment that leads to it."""

    layout: DataLayout
    environment: Mapping[str, str]


# --- In the child process -----------------------------------------------------------------------------


def run(environment: Mapping[str, str], version: str, assets: Sequence[str], pipe: Connection) -> None:
    """Materialize assets as code of a version; send when each begins, and at the end what failed."""
    from skip_pipeline import code_version
    from skip_pipeline.cli.run import LIBRARY_LOG, quiet_libraries
    from skip_pipeline.definitions import data_layout, defs
    from skip_pipeline.defs.launch import materialize, prepare_home

    os.environ.pop("DAGSTER_HOME", None)
    os.environ.update(environment)
    vars(code_version)["_library_version"] = lambda _distribution: version

    def tell(event: Any) -> None:
        if event.event_type_value == "STEP_START":
            pipe.send(event.step_key)

    pipe.send("")
    home = prepare_home(data_layout())
    with quiet_libraries(home / LIBRARY_LOG):
        training = _TRAINING if "trained_model" in assets else {}
        outcome = materialize(defs(), assets, training, tell)
    pipe.send(outcome.failures)


# --- In the harness -----------------------------------------------------------------------------------


def start(place: Place, version: str, assets: Sequence[str]) -> tuple[Any, Connection]:
    """Start a run; it has its modules on return."""
    processes = multiprocessing.get_context("forkserver")
    here, there = processes.Pipe(duplex=False)
    process = processes.Process(target=run, args=(dict(place.environment), version, tuple(assets), there))
    process.start()
    there.close()
    here.recv()
    return process, here


def complete(place: Place, version: str, assets: Sequence[str]) -> tuple[dict[str, float], list[str]]:
    """Let a run complete: seconds of each asset, and of the whole run by the empty name; and its failures."""
    process, pipe = start(place, version, assets)
    began = time.perf_counter()
    times, failures = {}, ["the next run was killed or hangs"]
    with suppress(EOFError):
        while pipe.poll(_SLOWEST):
            said = pipe.recv()
            if not isinstance(said, str):
                failures = list(said)
                break
            times[said] = time.perf_counter() - began
    process.join(_SLOWEST)
    process.kill()
    ends = [*list(times.values())[1:], time.perf_counter() - began]
    seconds = {name: end - begin for (name, begin), end in zip(times.items(), ends, strict=True)}
    return seconds | {"": time.perf_counter() - began}, failures


def kill_one(place: Place, version: str, asset: str, after: float) -> bool:
    """Kill a run some seconds after an asset has begun; returns whether it still ran."""
    process, pipe = start(place, version, [asset])
    with suppress(EOFError):
        while pipe.poll(_SLOWEST) and pipe.recv() != asset:
            pass
    time.sleep(after)
    process.kill()
    process.join()
    return bool(process.exitcode == -signal.SIGKILL)


def digests(whole: Mapping[str, Manifest]) -> dict[str, str]:
    """What has to be equal after every run, by asset."""
    found = {}
    for asset, manifest in whole.items():
        if asset == "skip_predictions":  # the version's number depends on how many were registered
            tables = [pq.read_table(str(manifest.path(file.name))) for file in manifest.files]
            found[asset] = str([table.drop_columns(["model_version"]).to_pydict() for table in tables])
        elif asset in SAME_FILES:
            named = {file.name: file.sha256 for file in manifest.files}
            found[asset] = str([named[name] for name in SAME_FILES[asset]])
        else:
            found[asset] = manifest.fingerprint
    return found


def open_runs(layout: DataLayout) -> list[str]:
    """Runs that Dagster or MLflow takes to be under way."""
    import dagster as dg
    import mlflow

    begun = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    with dg.DagsterInstance.from_config(str(layout.dagster)) as instance:
        found = [f"Dagster run {run.run_id} is open" for run in instance.get_runs(begun)]
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{layout.mlflow / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    left = client.search_runs(experiments, "attributes.status = 'RUNNING'")
    return found + [f"MLflow run {run.info.run_id} is open" for run in left]


def torture(
    place: Place,
    asset: str,
    kills: int,
    moments: random.Random,
    lasts: float,
    expected: Mapping[str, str],
    found: Tally,
) -> None:
    """Kill runs of one asset at random moments of it, and let the next run complete each time."""
    for number in range(kills):
        version, after = f"{asset} {number}", moments.uniform(0, lasts)
        before = manifests(place.layout, FOLDERS)
        while not kill_one(place, version, asset, after):  # it had ended before
            version, after = f"{version} again", after / 2
            before = manifests(place.layout, FOLDERS)
        left = manifests(place.layout, FOLDERS)
        faults = torn(left) + [
            f"{name} has other files" for name, digest in digests(left).items() if digest != expected[name]
        ]
        seconds, failures = complete(place, version, [asset])
        whole = manifests(place.layout, FOLDERS)
        faults += failures + torn(whole) + open_runs(place.layout)
        faults += [f"{name} differs" for name, digest in digests(whole).items() if digest != expected[name]]
        found.seconds.append(seconds[""])
        if faults:
            found.lost.append("; ".join(faults))
        else:
            found.count(OLD if left[asset].number == before[asset].number else NEW)


def torture_first_runs(place: Place, kills: int, moments: random.Random, lasts: float, found: Tally) -> None:
    """Kill first runs of ``track_features`` where neither Dagster's home nor MLflow's store exists yet."""
    for _ in range(kills):
        for folder in (place.layout.dagster, place.layout.mlflow):
            shutil.rmtree(folder, ignore_errors=True)
        process, _pipe = start(place, "first", ["track_features"])
        time.sleep(moments.uniform(0, lasts))
        process.kill()
        process.join()
        seconds, failures = complete(place, "first", ["track_features"])
        faults = failures or open_runs(place.layout)
        found.seconds.append(seconds[""])
        if faults:
            found.lost.append("; ".join(faults))
        else:
            found.count(OLD)


@contextmanager
def read_beside(layout: DataLayout, found: Tally) -> Iterator[None]:
    """Read every stage again and again while the block lasts."""
    stop = threading.Event()

    def read_on() -> None:
        while not stop.wait(_PAUSE):
            read_once(layout, found)

    with ThreadPoolExecutor() as threads:
        reading = threads.submit(read_on)
        try:
            yield
        finally:
            stop.set()
    reading.result()


def read_once(layout: DataLayout, found: Tally) -> None:
    """Compare every file of every stage with its manifest."""
    for asset, manifest in manifests(layout, FOLDERS).items():
        try:
            faults = torn({asset: manifest})
        except FileNotFoundError as gone:  # since it was seen to be there
            faults = [str(gone)]
        newest = read_manifest(getattr(layout, FOLDERS[asset]), made_by=asset).number
        if not faults:
            found.count(READ)
        elif newest >= manifest.number + 2:  # whose publication removed the files
            found.count("replaced twice while it was read")
        else:
            found.lost.append("; ".join(faults))


def measure(place: Place, assets: Sequence[str], kills: int, seed: int, at: str) -> Iterator[Tally]:
    """Kill that many runs, spread over the assets and the first run; yields what came of each."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, "mlflow", "s3fs", "upath", "skip_pipeline.definitions"])
    moments = random.Random(seed)
    of_all = [kills // (len(assets) + 1) + (n < kills % (len(assets) + 1)) for n in range(len(assets) + 1)]
    seconds, failures = complete(place, "reference", list(FOLDERS)[: list(FOLDERS).index(assets[-1]) + 1])
    if failures:
        raise RuntimeError("; ".join(failures))
    expected = digests(manifests(place.layout, FOLDERS))
    read = Tally(f"reading every stage beside these runs, {at}", seed)
    for asset, number in zip(assets, of_all[:-1], strict=True):
        found = Tally(f"SIGKILL in {asset}, {at}", seed)
        with read_beside(place.layout, read):
            torture(place, asset, number, moments, seconds[asset], expected, found)
        yield found
    yield read
    if of_all[-1]:  # last, because the registry goes with MLflow's store
        opening = seconds[""] - sum(seconds[asset] for asset in seconds if asset)
        found = Tally(f"SIGKILL in {FIRST_RUN}, {at}", seed)
        torture_first_runs(place, of_all[-1], moments, opening + next(iter(seconds.values())), found)
        yield found


@contextmanager
def prepared(root: Path, *, s3: bool) -> Iterator[Place]:
    """A data directory with raw files of the synthetic world, below a folder or in moto's S3 store."""
    raw = root / "raw"
    synthesize(raw, sessions=SESSIONS, tracks=TRACKS, seed=2, test_sessions=TEST_SESSIONS)
    with ExitStack() as stack:
        server = stack.enter_context(s3_server()) if s3 else {}
        url = "s3://killed/prefix"
        environment = {settings.DATA_DIR_VARIABLE: str(root / "data"), **server}
        layout = DataLayout(root / "data")
        stack.enter_context(patch.dict(os.environ, server))
        if s3:
            environment[settings.STORAGE_VARIABLE] = url
            layout = DataLayout(layout.root, location(url))
            store = file_system(location(url))
            stack.callback(type(store).clear_instance_cache)  # they know the address of this server alone
            store.mkdir("killed")
        for name, path in files_below(raw):
            target = layout.tables / "01_raw" / name
            if not s3:
                target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        yield Place(layout, environment)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for each asset; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--s3", action="store_true", help="stages up to the bundles on an S3 server")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--assets", nargs="+", default=list(FOLDERS), choices=FOLDERS, metavar="ASSET")
    given = parser.parse_args(arguments)
    at = "S3" if given.s3 else "disk"
    with tempfile.TemporaryDirectory() as folder, prepared(Path(folder), s3=given.s3) as place:
        return report(measure(place, given.assets, given.kills, given.seed, at))


if __name__ == "__main__":
    sys.exit(main())
