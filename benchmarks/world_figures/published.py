"""Published statistics of the real data, with which the synthetic world is compared.

They lie in ``published.json``, with their sources and unrounded, as public repositories print them. Here
they become typed figures, one name each, whatever the shape they are stored in:

    figures   name -> number           "skip_2"
    table     row -> list of numbers   "danceability / mean"
    matrix    symmetric                "danceability ~ energy", upper triangle without the diagonal
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Final, Literal

Kind = Literal["exact", "share", "conditional_share", "sequence", "spread", "correlation", "count"]
"""What sort of number a group holds; ``comparison.TOLERANCES`` has a tolerance for each."""

Scope = Literal["mini", "mini_filtered", "full"]
How = Literal["printed", "derived", "estimated", "image"]

Alikeness = Literal["independent", "actions", "constant"]
"""How much the rows of one session resemble each other in what a share counts: not at all, as successive
actions of one listener do, or wholly because the session has one value."""

_FILE: Final = "published.json"
CELL: Final = " / "
PAIR: Final = " ~ "
"""Between the two names of a figure of a table or matrix."""


@dataclass(frozen=True)
class Source:
    """Where a number stands: a public GitHub repository and a file in it."""

    repo: str
    file: str


@dataclass(frozen=True)
class Figure:
    """One published number.

    Attributes:
        value: counts of a known total are given as shares of it.
        rows: rows behind a share; None where unknown.
        alikeness: of the rows of one session, in what the share counts.
        spread: published standard deviation of the column, for means, quantiles and the like.
    """

    key: str
    value: float
    rows: int | None = None
    alikeness: Alikeness = "independent"
    spread: float | None = None


@dataclass(frozen=True)
class Group:
    """Figures of one sort, from one place.

    Attributes:
        name: identifier, the same in ``measures.measure``.
        title: heading on the page.
        kind: which tolerance applies.
        judged: False for what the mini set does not show, or what others show better.
        scope: rows the figures were counted on (``published.json`` explains each).
        how: how the numbers were come by.
        sources: where they stand.
        note: what a reader has to know beside; may be empty.
        figures: by key, in published order.
    """

    name: str
    title: str
    kind: Kind
    judged: bool
    scope: Scope
    how: How
    sources: tuple[Source, ...]
    note: str
    figures: Mapping[str, Figure]

    @property
    def is_table(self) -> bool:
        """Whether the figures are cells of rows and columns."""
        return all(CELL in key for key in self.figures)

    def __getitem__(self, key: str) -> float:
        """Value of a figure."""
        return self.figures[key].value


def pair(one: str, other: str) -> str:
    """Key of a correlation: the two columns in alphabetical order."""
    return PAIR.join(sorted((one, other)))


def cell(row: str, column: str) -> str:
    """Key of a figure of a table."""
    return f"{row}{CELL}{column}"


@cache
def figures() -> Mapping[str, Group]:
    """Every published group by name, in the order of the page; read once."""
    stored = _content()["groups"]
    spreads = {group["name"]: _standard_deviations(group) for group in stored}
    return MappingProxyType({group["name"]: _group(group, spreads) for group in stored})


@cache
def extra_levels() -> Mapping[str, tuple[str, ...]]:
    """Levels that only the full set has, by column."""
    stored = _content()["extra_levels_of_the_full_set"]
    return MappingProxyType({name: tuple(levels) for name, levels in stored.items() if name != "source"})


def _content() -> dict[str, Any]:
    text = resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def _standard_deviations(stored: Mapping[str, Any]) -> Mapping[str, float]:
    """The ``std`` column of a group's table, by row; empty for any other group."""
    table = stored.get("table", {"columns": [], "rows": {}})
    if "std" not in table["columns"]:
        return {}
    place = table["columns"].index("std")
    return {row: numbers[place] for row, numbers in table["rows"].items()}


def _group(stored: Mapping[str, Any], spreads: Mapping[str, Mapping[str, float]]) -> Group:
    # The spread of a group comes from its own table unless it names another's.
    spread = spreads[stored.get("spread_group", stored["name"])]
    return Group(
        name=stored["name"],
        title=stored["title"],
        kind=stored["kind"],
        judged=stored["judged"],
        scope=stored["scope"],
        how=stored["how"],
        sources=tuple(Source(**source) for source in stored["sources"]),
        note=stored.get("note", ""),
        figures=MappingProxyType(
            {
                key: _figure(stored, key, row, column, number, spread.get(row))
                for key, row, column, number in _numbers(stored)
            }
        ),
    )


def _numbers(stored: Mapping[str, Any]) -> Iterator[tuple[str, str, str, float]]:
    """Key, row, column and number of every figure of a group."""
    for key, number in stored.get("figures", {}).items():
        yield key, key, key, number
    if "table" in stored:
        for row, numbers in stored["table"]["rows"].items():
            for column, number in zip(stored["table"]["columns"], numbers, strict=True):
                yield cell(row, column), row, column, number
    if "matrix" in stored:
        columns = stored["matrix"]["columns"]
        for i, (row, numbers) in enumerate(zip(columns, stored["matrix"]["rows"], strict=True)):
            for column, number in zip(columns[i + 1 :], numbers[i + 1 :], strict=True):
                yield pair(row, column), row, column, number


def _figure(
    stored: Mapping[str, Any], key: str, row: str, column: str, number: float, spread: float | None
) -> Figure:
    total = _of(stored.get("total"), row)
    alikeness: Any = stored.get("alikeness", "independent")
    return Figure(
        key=key,
        value=number / (1 if total is None else total),
        rows=_of(stored.get("rows", stored.get("total")), row),
        alikeness=alikeness[column] if isinstance(alikeness, dict) else alikeness,
        spread=spread,
    )


def _of(value: int | Mapping[str, int] | None, row: str) -> int | None:
    """A number of rows, the same for the whole group or one for each row of it."""
    return value[row] if isinstance(value, Mapping) else value
