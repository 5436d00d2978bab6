"""The comparison as a page in Markdown: every published figure beside the one measured."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.world_figures.comparison import (
    DECISIVE_SHARE,
    DESIGN_EFFECTS,
    TOLERANCES,
    Comparison,
    Record,
    unexplained,
)
from benchmarks.world_figures.published import CELL, Group, figures
from skip_pipeline.settings import DataSource

_REPOSITORIES: Final = "https://github.com/"

_SHORTER: Final = {"hist_user_behavior_": "", "_before_play": "", "acoustic_vector_": "vector_"}
"""What the names of columns lose where thousands of pairs stand in one table."""

_INTRODUCTION: Final[dict[DataSource, str]] = {
    "synthetic": """# The synthetic world beside the published statistics

*Synthetic* figures were measured on generated listening sessions. *Published* figures describe the real
mini set of the Spotify sequential skip prediction data (10,000 sessions, 50,704 tracks); the public notebooks
named below print them. This repository does not contain the real rows, and nothing here has read them. The
page checks the generator and is no measurement of listeners.

To reproduce the page:

    skip-pipeline synthesize --out data/01_raw
    python -m benchmarks.world_figures data/01_raw""",
    "real": """# Real data beside the published statistics

*Real* figures were measured on files without a marker of synthetic data. *Published* figures describe the
mini set of the Spotify sequential skip prediction data (10,000 sessions, 50,704 tracks); the public notebooks
named below print them. If the files are the mini set, a failed figure shows that its source was misread. If
they are other files, a failed figure shows a difference from the mini set.

To reproduce the page:

    python -m benchmarks.world_figures data/01_raw""",
}

_TERMS: Final = """Scopes: *mini* is all 167,880 rows of the mini set and its 50,704 tracks. *mini_filtered*
is the 167,128 rows that one notebook's outlier filter keeps (fewer than 3 seeks forward, fewer than 4 back,
loudness between -31.203 and 0); the same filter is applied to the measured rows. *full* is the full data or a
sample of it, and is not judged. How: a *printed* figure is in the source; a *derived* figure is exact
arithmetic on printed figures; an *estimated* figure needs an assumption, which its note states; an *image*
figure was read from a plot and is approximate."""

_FEW_ROWS: Final = """Sampling error is the reason of a failed share if twice the standard error of the
published share is larger than the tolerance, and the difference is no larger than the error of a difference
of two such shares. Rows of one session are correlated, which multiplies the variance by """


def page(comparison: Comparison, source: DataSource, *, doubt: str = "") -> str:
    """The whole page.

    Args:
        comparison: every figure, judged.
        source: what the measured files are.
        doubt: why they may be something else; empty when there is no doubt.
    """
    tables = _Tables(source)
    parts = [
        _INTRODUCTION[source],
        f"**Warning:** {escape(doubt)}" if doubt else "",
        f"## Result\n\n{verdict(comparison)}",
        tables.summary(comparison),
        _TERMS,
        f"## Tolerances\n\n{_tolerances()}",
        f"## Figures that fail\n\n{tables.failures(comparison)}",
        f"## Every figure\n\nFailed figures are in bold type. `{CELL.strip()}` or `~` separates the two "
        "names of a figure of two columns.",
        *(tables.details(group, comparison.of(name)) for name, group in figures().items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def verdict(comparison: Comparison) -> str:
    """The result in two sentences."""
    failed, plain = comparison.failed, comparison.without("correlation")
    outcome = "are reached" if comparison.reached else "are not reached"
    return (
        f"Of {len(comparison.judged):,} judged figures {comparison.passed:,} pass "
        f"({comparison.share_passed:.1%}), and of the {len(plain.judged):,} that are no correlations "
        f"{plain.passed:,} ({plain.share_passed:.1%}): the required {DECISIVE_SHARE:.0%} of all {outcome}. "
        f"{len(failed):,} fail, {len(unexplained(failed)):,} of them for no known reason."
    )


@dataclass(frozen=True)
class _Tables:
    """The tables of a page; the measured column is called after what the data is."""

    source: DataSource

    def summary(self, comparison: Comparison) -> str:
        rows = []
        for name, group in figures().items():
            of_group = comparison.of(name)
            judged = [f"{of_group.passed:,}", f"{of_group.share_passed:.0%}", TOLERANCES[group.kind].words]
            rows.append(
                [
                    group.title,
                    f"{len(of_group.records):,}",
                    *(judged if group.judged else ["not judged", "", ""]),
                    f"{group.scope}, {group.how}",
                    "; ".join(_link(source.repo, source.file) for source in group.sources),
                ]
            )
        return table(["group", "figures", "pass", "share", "tolerance", "scope, how", "source"], rows)

    def failures(self, comparison: Comparison) -> str:
        rows = [
            [
                figures()[record.group].title,
                record.key,
                number(record.published),
                number(record.world),
                number(record.difference),
                allowed(record),
                record.reason or "unexplained",
            ]
            for record in comparison.failed
        ]
        header = ["group", "figure", "published", self.source, "difference", "tolerance", "reason"]
        return table(header, rows) if rows else "None."

    def details(self, group: Group, comparison: Comparison) -> str:
        records = comparison.records
        if group.is_table:
            body = self._wide(records)
        elif group.kind == "correlation":
            body = self._by_difference(records)
        else:
            body = self._one_by_one(records)
        outcome = f"{comparison.passed:,} of {len(records):,} pass" if group.judged else "not judged"
        note = f"{escape(group.note)}\n\n" if group.note else ""
        return f"<details><summary>{group.title}: {outcome}</summary>\n\n{note}{body}\n\n</details>"

    def _one_by_one(self, records: Iterable[Record]) -> str:
        rows = [
            [r.key, number(r.published), _marked(r, number(r.world)), number(r.tolerance)] for r in records
        ]
        return table(["figure", "published", self.source, "tolerance"], rows)

    def _wide(self, records: Iterable[Record]) -> str:
        """A table as it was published, two numbers in a cell."""
        cells: dict[str, dict[str, str]] = {}
        for record in records:
            row, column = record.key.split(CELL)
            both = f"{number(record.published)} → {number(record.world)}"
            cells.setdefault(row, {})[column] = _marked(record, both)
        columns = next(iter(cells.values()))
        return table(
            [f"published → {self.source}", *columns], [[row, *of.values()] for row, of in cells.items()]
        )

    def _by_difference(self, records: Iterable[Record]) -> str:
        """Correlations, the largest difference first."""
        rows = [
            [_short(record.key), f"{record.published:.3f}", _marked(record, _correlation(record.world))]
            for record in sorted(records, key=lambda record: -abs(record.difference))
        ]
        return table(["columns", "published", self.source], rows)


def _tolerances() -> str:
    rows = [[kind.replace("_", " "), t.words, t.reason] for kind, t in TOLERANCES.items()]
    effects = ", ".join(f"{effect:.1f} ({name})" for name, effect in DESIGN_EFFECTS.items())
    return f"{table(['kind of figure', 'tolerance', 'reason'], rows)}\n\n{_FEW_ROWS}{effects}."


def _link(repo: str, file: str) -> str:
    return f"[{repo}]({_REPOSITORIES}{repo}) {file}"


def _marked(record: Record, text: str) -> str:
    return f"**{text}**" if record.passed is False else text


def _correlation(value: float | None) -> str:
    return number(value) if value is None else f"{value:.3f}"


def _short(key: str) -> str:
    for long, short in _SHORTER.items():
        key = key.replace(long, short)
    return key


def allowed(record: Record) -> str:
    """The tolerance of a figure, empty where it is not judged."""
    return "" if record.passed is None else number(record.tolerance)


def number(value: float | None) -> str:
    """Five significant digits, but all those of a whole number; "none" where the set has no such figure."""
    if value is None or not math.isfinite(value):
        return "none"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.5g}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; what would be read as markup in a cell is escaped, but for our own asterisks."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"|{'|'.join(escape(cell, but='*') for cell in line)}|" for line in lines)


def escape(text: str, *, but: str = "") -> str:
    """Text that Markdown shows as it is, also in a cell of a table; characters in ``but`` stay markup."""
    return "".join(f"\\{letter}" if letter in "|*<" and letter not in but else letter for letter in text)
