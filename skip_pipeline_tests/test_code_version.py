"""Versions of code: what they depend on, compared with the imports that another tool finds."""

import grimp
import pytest

from skip_pipeline import code_version, settings
from skip_pipeline.code_version import ASSETS, asset_version, dependencies

PACKAGE = {
    "skip_pipeline": "",
    "skip_pipeline.a": (
        "from skip_pipeline.b import (\n    one,  # (a comment)\n    two as three,\n)\n"
        "def f():\n    from skip_pipeline import c\n"
    ),
    "skip_pipeline.b": "import pyarrow as pa, os\nimport skip_pipeline.d\none = two = 1\n",
    "skip_pipeline.c": "from skip_pipeline.box import lid, made_here\n",
    "skip_pipeline.d": "import numpy.linalg\nfrom skip_pipeline.settings import EXAMPLES_SHOWN as SHOWN\n",
    "skip_pipeline.box": "from skip_pipeline.box.inner import lid\nmade_here = 1\n",
    "skip_pipeline.box.inner": 'lid = render("page.html.j2")\n',
    "skip_pipeline.box.other": "",
    "page.html.j2": '{% include "look.html.j2" %}',
    "look.html.j2": "",
    "skip_pipeline.unused": "from skip_pipeline import a\n",
}


@pytest.fixture
def package(monkeypatch):
    """A small package in place of this one; gives its sources, to be changed."""
    sources = dict(PACKAGE)
    monkeypatch.setattr(code_version, "_sources", lambda: sources)
    for name in ("_imports_of", "_names_in"):
        monkeypatch.setattr(code_version, name, getattr(code_version, name).__wrapped__)
    return sources


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("a", {"a", "b", "c", "d", "box", "box.inner", "page.html.j2", "look.html.j2"}),
        ("b", {"b", "d"}),
        ("box.other", {"box.other"}),
        ("box", {"box", "box.inner", "box.other", "page.html.j2", "look.html.j2"}),
    ],
)
def test_a_version_covers_every_module_and_template_that_is_imported(package, module, expected):
    found = dependencies(f"skip_pipeline.{module}")
    others = {"numpy", "pyarrow", "skip_pipeline.settings.EXAMPLES_SHOWN"}
    assert {name.removeprefix("skip_pipeline.") for name in found if name not in others} == expected


def test_a_name_that_a_package_exports_counts_for_the_module_that_defines_it(package):
    package["skip_pipeline.c"] = "from skip_pipeline.box import lid\n"
    assert "skip_pipeline.box" not in dependencies("skip_pipeline.c")
    assert "skip_pipeline.box.inner" in dependencies("skip_pipeline.c")


@pytest.mark.parametrize(
    "name", ["skip_pipeline.a", "skip_pipeline.d", "skip_pipeline.box.inner", "look.html.j2"]
)
def test_editing_what_is_imported_changes_the_version(package, name):
    before = code_version.code_version("skip_pipeline.a")
    assert code_version.code_version("skip_pipeline.a") == before
    package[name] += "# edited\n"
    assert code_version.code_version("skip_pipeline.a") != before


def test_editing_what_is_not_imported_changes_nothing(package):
    before = code_version.code_version("skip_pipeline.a")
    package["skip_pipeline.unused"] += "# edited\n"
    package["skip_pipeline.box.other"] += "# edited\n"
    assert code_version.code_version("skip_pipeline.a") == before


def test_a_setting_counts_by_its_value(package, monkeypatch):
    before = code_version.code_version("skip_pipeline.d")
    monkeypatch.setattr(settings, "MISTAKES_SHOWN", 99)
    assert code_version.code_version("skip_pipeline.d") == before
    monkeypatch.setattr(settings, "EXAMPLES_SHOWN", 99)
    assert code_version.code_version("skip_pipeline.d") != before


def test_libraries_that_are_imported_count_by_their_version(package, monkeypatch):
    before = [code_version.code_version(f"skip_pipeline.{name}") for name in ("b", "box")]
    monkeypatch.setattr(code_version, "_library_version", lambda name: f"another {name}")
    after = [code_version.code_version(f"skip_pipeline.{name}") for name in ("b", "box")]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_a_module_that_does_not_exist_is_named(package):
    with pytest.raises(KeyError, match=r"skip_pipeline\.e"):
        code_version.code_version("skip_pipeline.e")


def test_imports_are_those_that_another_tool_finds():
    graph = grimp.build_graph("skip_pipeline", cache_dir=None)
    packages = {name.rpartition(".")[0] for name in graph.modules}
    assert graph.modules == {name for name in code_version._sources() if not name.endswith(".j2")}
    for module in graph.modules:
        modules = {
            settings.__name__ if name.startswith(settings.__name__) else name
            for name in code_version._imports_of(module)
            if name.startswith("skip_pipeline")
        }
        expected = graph.find_modules_directly_imported_by(module)
        assert expected - packages <= modules, module
        exported = {
            name
            for package in expected & packages
            for name in graph.find_modules_directly_imported_by(package) | {package}
        }
        assert modules <= expected | exported, module
        for package in expected & packages:
            assert any(f"{name}.".startswith(f"{package}.") for name in modules), (module, package)


@pytest.mark.parametrize(
    ("asset", "libraries"),
    [
        ("session_logs", {"numpy", "pandas", "pyarrow"}),
        ("merged_table", {"numpy", "pandas", "pyarrow"}),
        ("encoded_table", {"numpy", "pandas", "pyarrow"}),
        ("scaled_table", {"numpy", "pyarrow"}),
        ("tensor_bundles", {"numpy", "pyarrow"}),
        ("baseline_models", {"sklearn"}),
        ("trained_model", {"tensorflow", "keras", "onnx", "onnxruntime"}),
        ("skip_predictions", {"onnxruntime", "pandas"}),
    ],
)
def test_an_asset_depends_on_the_libraries_that_decide_its_result(asset, libraries):
    found = dependencies(*(f"skip_pipeline.{module}" for module in ASSETS[asset]))
    assert libraries <= found.keys()


def test_no_setting_counts_by_an_address_in_memory():
    found = [name for asset in ASSETS for name in (f"skip_pipeline.{module}" for module in ASSETS[asset])]
    values = {n: v for n, v in dependencies(*found).items() if n.startswith("skip_pipeline.settings.")}
    assert len(values) > 20
    assert not [name for name, value in values.items() if " at 0x" in value]


def test_every_asset_has_a_version_of_its_own():
    versions = {asset: asset_version(asset) for asset in ASSETS}
    assert versions["session_logs"] == versions["track_features"]  # one module reads both
    assert len(set(versions.values())) == len(ASSETS) - 1
