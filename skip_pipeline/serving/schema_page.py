"""The OpenAPI schema as one HTML page that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_STYLE = "body{font:15px sans-serif;margin:2em;max-width:60em}td,th{text-align:left;padding:.2em 1em .2em 0}"


def schema_page(openapi: Mapping[str, Any]) -> str:
    """A table of the paths, and one of the fields of every model."""
    paths = [
        (f"{method.upper()} {path}", operation.get("description", ""))
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    parts = [f"<h1>{escape(openapi['info']['title'])}</h1>", _table(("request", "answer"), paths)]
    for name, model in openapi["components"]["schemas"].items():
        required = model.get("required", [])
        fields = [
            (field, _kind(of), of.get("description", ""), "yes" if field in required else "no")
            for field, of in model.get("properties", {}).items()
        ]
        parts.append(f"<h2>{escape(name)}</h2><p>{escape(model.get('description', ''))}</p>")
        parts.append(_table(("field", "type", "is", "required"), fields))
    return f"<!doctype html><meta charset=utf-8><title>Schema</title><style>{_STYLE}</style>{''.join(parts)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{cell}</th>" for cell in head)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _kind(of: Mapping[str, Any]) -> str:
    if "$ref" in of:
        return str(of["$ref"]).rpartition("/")[2]
    if "anyOf" in of:
        return " or ".join(_kind(one) for one in of["anyOf"])
    return f"list of {_kind(of['items'])}" if of.get("type") == "array" else str(of.get("type", "any"))
