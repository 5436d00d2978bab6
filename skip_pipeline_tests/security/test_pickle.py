"""No file that the pipeline opens is a pickle, or runs code."""

import ast
import io
import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import skip_pipeline
from skip_pipeline import serving
from skip_pipeline.errors import ContractError
from skip_pipeline.storage import map_array, read_json, record_file, write_json
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.serving.small_models import data_directory, pack

PACKAGE = Path(skip_pipeline.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
UNPICKLING = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def trees() -> Iterator[tuple[str, ast.AST]]:
    for path in SOURCES:
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_no_module_imports_what_unpickles() -> None:
    found = []
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                continue
            found += [(name, module) for module in modules if module.split(".")[0] in UNPICKLING]
    assert found == []


def test_every_array_is_loaded_and_saved_without_pickles() -> None:
    calls = []
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "np.save", "np.savez"):
                allowed = [keyword.value for keyword in node.keywords if keyword.arg == "allow_pickle"]
                calls.append((name, [ast.unparse(value) for value in allowed]))
    assert len(calls) >= 3
    assert [call for call in calls if call[1] != ["False"]] == []


class Planted:
    """Code that an unpickler would run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A folder that is there once the planted code has run."""
    mark = tmp_path / "executed"
    pickle.loads(pickle.dumps(Planted(mark)))  # noqa: S301 - shows that it would run
    mark.rmdir()
    return mark


def array_of(planted: Planted) -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([planted], dtype=object), allow_pickle=True)
    return content.getvalue()


def test_an_array_with_a_planted_pickle_executes_nothing(tmp_path: Path, mark: Path) -> None:
    path = tmp_path / "array.npy"
    path.write_bytes(array_of(Planted(mark)))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        map_array(path)
    assert not mark.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tracks.npy", "track_ids.npy", "track_memory.npy", "skip_model.onnx"])
@pytest.mark.parametrize("as_array", [True, False], ids=["in an array", "bare"])
def test_a_version_with_a_planted_pickle_executes_nothing(
    served: Path, tmp_path: Path, mark: Path, name: str, as_array: bool
) -> None:
    folder = Path(shutil.copytree(served, tmp_path / "version"))
    planted = Planted(mark)
    (folder / name).write_bytes(array_of(planted) if as_array else pickle.dumps(planted))
    fields = read_json(folder / "served_model.json")
    records = {record["name"]: record for record in fields["files"]}
    now = record_file(folder / name, name)
    records[name] |= {"bytes": now.bytes, "sha256": now.sha256}  # who plants it can write this, too
    write_json(folder / "served_model.json", fields)
    assert_says(refusal(ContractError, lambda: serving.load(folder)), name)
    assert not mark.exists()


@pytest.mark.slow
def test_files_that_a_version_does_not_name_are_not_opened(served: Path, tmp_path: Path, mark: Path) -> None:
    folder = Path(shutil.copytree(served, tmp_path / "version"))
    for name in ("python_model.pkl", "model.pkl", "handmade_models.onnx"):
        (folder / name).write_bytes(pickle.dumps(Planted(mark)))
    assert serving.load(folder).kind == "network"
    assert not mark.exists()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(data_directory(tmp_path_factory.mktemp("planted") / "data"))


@pytest.mark.slow
def test_a_registered_version_holds_no_pickle(tmp_path: Path, served: Path) -> None:
    from skip_pipeline_tests.environment import forget_settings
    from skip_pipeline_tests.serving.registry import Registry

    with pytest.MonkeyPatch.context() as environment:
        forget_settings(environment)
        registry = Registry(tmp_path / "mlflow")
        registry.promote(registry.register(served))
        files = [path for path in (tmp_path / "mlflow").rglob("*") if path.is_file()]
    (flavours,) = [path.read_text(encoding="utf-8") for path in files if path.name == "MLmodel"]
    assert "python_model.pkl" not in flavours
    assert "model_code_path" in flavours
    assert [path for path in files if path.suffix in (".pkl", ".pickle", ".joblib", ".cloudpickle")] == []
