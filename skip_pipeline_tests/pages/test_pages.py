"""Pages: their links, what is made from the code, the README's size, and the site."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from skip_pipeline.cli.run import headline
from skip_pipeline.code_version import ASSETS
from skip_pipeline.definitions import defs
from skip_pipeline_tests.pages.contents import PAGES, blocks, links
from skip_pipeline_tests.pages.reference import DOCS, ROOT
from skip_pipeline_tests.pages.reference import PAGES as MADE

README = ROOT / "README.md"
MADE_LATER = {"docs/reliability.md"}  # by `make torture`


@pytest.mark.parametrize("name", MADE)
def test_reference_pages_are_those_of_the_code(name):
    assert (DOCS / name).read_text(encoding="utf-8") == MADE[name](), "run `make reference`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page):
    for target in links(page):
        path = target.partition("#")[0]
        if path and not re.match(r"\w+:", path):
            found = (page.parent / path).resolve()
            assert found.exists() or found.relative_to(ROOT).as_posix() in MADE_LATER, (
                f"{page.name}: {target}"
            )


def test_pictures_are_of_this_repository():
    for page in PAGES:
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)|<img[^>]+src=\"([^\"]+)", page.read_text()):
            assert not re.match(r"\w+:", "".join(target)), f"{page.name}: {target}"


def test_every_page_is_in_the_sites_contents_and_no_other():
    found = set(re.findall(r": (\w+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))

    assert found == {page.name for page in DOCS.glob("*.md")}


def test_the_readme_is_short_and_starts_with_what_it_is():
    text = README.read_text(encoding="utf-8")
    first = text.splitlines()[:25]

    assert len(text.splitlines()) <= 150
    assert len(text.encode()) <= 10_000
    assert any(line.startswith("make demo") for line in first)
    assert any(line.startswith("![") for line in first)
    assert text.index("## On your own listening") < text.index("## On the public data")


def test_the_graph_of_the_files_page_is_dagsters():
    graph = defs().resolve_asset_graph()
    found = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.materializable_asset_keys
    }
    lines = (line.split(maxsplit=1) for line in blocks(DOCS / "files.md", "")[0].text.splitlines())
    shown = {asset: set(inputs.split(", ")) for asset, inputs in lines}

    assert shown == {asset: inputs for asset, inputs in found.items() if inputs}


def test_the_table_of_stages_has_every_asset():
    text = (DOCS / "files.md").read_text(encoding="utf-8")

    assert [asset for asset in ASSETS if f"`{asset}`" not in text] == []


@pytest.mark.slow
def test_the_readme_shows_the_lines_that_a_run_ends_with(finished):
    shown = blocks(README, "")[0].text.splitlines()
    made = headline(finished[0].layout, promotion=True).splitlines()

    def shape(line: str) -> str:
        line = re.sub(r"^(served \w+|fast network),", "model,", line)  # the best depends on the data
        return re.sub(r"\S*/", "", re.sub(r"[\d.,]+", "0", line)).strip()

    there = {shape(line) for line in made}
    sample = [line for line in shown if not line.startswith("✓") and "…" not in line and "Next:" not in line]
    assert [line for line in sample if shape(line) not in there] == []


def test_predictions_are_the_same_on_all_pages():
    def first(page: Path) -> list[str]:
        text = page.read_text(encoding="utf-8")
        return re.findall(r"t_example_(\d)\",(?: \"p_skip\": )?([\d.]+)", text)

    assert first(README)[:3] == first(DOCS / "serving.md")[-3:]


@pytest.mark.slow
def test_the_site_is_built_strictly_and_loads_nothing_from_outside(tmp_path):
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        tmp_path / "site",
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    pages = sorted((tmp_path / "site").glob("*.html"))
    loading = re.compile(
        r"<(?:script|img|iframe)[^>]+src=\"?(https?:)?//|<link[^>]+href=\"?(https?:)?//|@import"
    )

    assert len(pages) > len(list(DOCS.glob("*.md")))  # and the page for an address that does not exist
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not loading.search(text), page.name
        assert 'class="mermaid"' not in text  # the theme would fetch the library that draws it


def test_a_link_out_of_the_documentation_becomes_a_path():
    import importlib.util

    spec = importlib.util.spec_from_file_location("links", DOCS / "links.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)

    assert (
        hook.without_outside_links("[the list](../Makefile#x), [a](b.md)")
        == "the list (`Makefile`), [a](b.md)"
    )
    assert hook.without_outside_links("[`flow.py`](../skip_pipeline/stages/flow.py)") == "`flow.py`"
    with pytest.raises(FileNotFoundError, match="no_such"):
        hook.without_outside_links("[x](../no_such)")
