"""The same work done with pandas, polars and duckdb."""
