"""What importing costs, in fresh interpreters, because this one has everything loaded."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

HEAVY = {"dagster", "mlflow", "tensorflow", "keras"}
PURE_MODULES = (
    "raw.session_log",
    "stages.flow",
    "bundles.gather",
    "training.history",
    "training.onnx_model",
    "baselines.fit",
    "metrics.scores",
    "metrics.calibration",
    "challenge.submission",
    "challenge.evaluation",
    "nightly.plan",
    "nightly.champion",
    "report.make",
)
STEPWISE = """
import importlib, json, sys
loaded = {}
for module in sys.argv[1:]:
    importlib.import_module(f"skip_pipeline.{module}")
    loaded[module] = sorted(sys.modules)
print(json.dumps(loaded))
"""
DEFINITIONS = """
import json, os, sys
from skip_pipeline.definitions import defs
definitions = defs()
loaded, seen = sorted(sys.modules), []

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "mlflow":
            seen.append(os.environ.get("MLFLOW_DISABLE_TELEMETRY"))

sys.meta_path.insert(0, Watch())
from skip_pipeline.defs.launch import materialize
materialize(definitions, ["track_features"], {}, lambda event: None)
print(json.dumps([loaded, seen]))
"""


def python(code: str, *arguments: str):
    """What a new interpreter prints last, as JSON."""
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return json.loads(process.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def loaded():
    """Modules that are loaded after each import, in one interpreter."""
    found = python(STEPWISE, "cli.main", *PURE_MODULES, "training.train")
    return {module: set(names) for module, names in found.items()}


def test_the_command_line_answers_help_without_heavy_imports(loaded):
    assert loaded["cli.main"].isdisjoint(HEAVY | {"pandas", "pyarrow"})


@pytest.mark.parametrize("module", PURE_MODULES)
def test_logic_loads_neither_dagster_nor_mlflow_nor_tensorflow(loaded, module):
    assert f"skip_pipeline.{module}" in loaded[module]
    assert loaded[module].isdisjoint(HEAVY)


def test_training_loads_neither_dagster_nor_mlflow(loaded):
    assert "tensorflow" in loaded["training.train"]
    assert loaded["training.train"].isdisjoint({"dagster", "mlflow"})


def test_the_definitions_load_neither_tensorflow_nor_mlflow_whose_reports_are_off_when_it_is_imported(
    project,
):
    modules, telemetry_disabled = python(DEFINITIONS)

    assert "dagster" in modules
    assert {"tensorflow", "keras", "mlflow", "mlflow.server", "sklearn", "matplotlib"}.isdisjoint(modules)
    assert telemetry_disabled == ["true"]
