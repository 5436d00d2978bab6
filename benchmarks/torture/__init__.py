"""Faults tried for real, by the thousand, and what was lost; each module prints rows of one table."""
