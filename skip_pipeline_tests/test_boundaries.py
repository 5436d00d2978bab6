"""What importing costs: seen in fresh processes, because this one has everything loaded."""

import subprocess
import sys

import pytest

PURE_MODULES = [
    "raw.session_log",
    "stages.flow",
    "bundles.gather",
    "training.history",
    "training.onnx_model",
    "baselines.fit",
    "metrics.scores",
    "metrics.calibration",
]


def loaded_after(statement: str) -> set[str]:
    """Top-level and second-level modules in ``sys.modules`` after a statement in a new interpreter."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(process.stdout.split())


def test_importing_the_definitions_loads_neither_tensorflow_nor_mlflow():
    loaded = loaded_after("import skip_pipeline.definitions as d; d.defs()")

    assert "dagster" in loaded
    assert loaded.isdisjoint({"tensorflow", "keras", "mlflow", "mlflow.server", "sklearn", "matplotlib"})


@pytest.mark.parametrize("module", PURE_MODULES)
def test_logic_loads_neither_dagster_nor_mlflow_nor_tensorflow(module):
    loaded = loaded_after(f"import skip_pipeline.{module}")

    assert f"skip_pipeline.{module}" in loaded
    assert loaded.isdisjoint({"dagster", "mlflow", "tensorflow", "keras"})


def test_training_loads_neither_dagster_nor_mlflow():
    loaded = loaded_after("import skip_pipeline.training.train")

    assert "tensorflow" in loaded
    assert loaded.isdisjoint({"dagster", "mlflow"})


def test_the_command_line_answers_help_without_heavy_imports():
    loaded = loaded_after("import skip_pipeline.cli.main")

    assert loaded.isdisjoint({"dagster", "mlflow", "tensorflow", "pandas", "pyarrow"})
