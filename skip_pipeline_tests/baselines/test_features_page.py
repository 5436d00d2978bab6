"""The page on hand-made features names every feature that there is, and no other."""

import re
from pathlib import Path

import pytest

from skip_pipeline import schema
from skip_pipeline.baselines import features as handmade
from skip_pipeline.baselines.features import feature_names
from skip_pipeline.bundles.track_memory import COMPANY
from skip_pipeline.networks.listening import OUTCOMES

PAGE = Path(__file__).parents[2] / "docs" / "handmade_features.md"

BLANKS = {
    "{ago}": "[1-5]",
    "{outcome}": "|".join(OUTCOMES),
    "{window}": "|".join(map(str, handmade.WINDOWS)),
    "{memory}": "|".join(map(str, handmade.MEMORIES)),
    "{width}": "|".join(map(str, handmade.WIDTHS)),
    "{column}": "|".join(handmade._OCCURRENCES),
    "{feature}": "|".join(handmade.FEATURES),
    "{number}": "|".join(str(i + 1) for i in range(COMPANY)),
}


@pytest.fixture(scope="module")
def names() -> tuple[str, ...]:
    return feature_names()


@pytest.fixture(scope="module")
def patterns() -> list[str]:
    """What the first column of the table names, as regular expressions."""
    rows = [line.split("|")[1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"]
    found = re.findall(r"`([^`]+)`", " ".join(rows))
    for blank, choices in BLANKS.items():
        found = [pattern.replace(blank, f"(?:{choices})") for pattern in found]
    return found


def test_every_feature_is_explained(names: tuple[str, ...], patterns: list[str]) -> None:
    assert [name for name in names if not any(re.fullmatch(p, name) for p in patterns)] == []


def test_nothing_is_explained_that_is_no_feature(names: tuple[str, ...], patterns: list[str]) -> None:
    assert [p for p in patterns if not any(re.fullmatch(p, name) for name in names)] == []


def test_the_page_counts_them(names: tuple[str, ...]) -> None:
    assert f"{len(names)} numbers" in PAGE.read_text(encoding="utf-8")
    assert schema.LABEL not in names
