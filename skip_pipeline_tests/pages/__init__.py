"""README and site: every command is one that exists, and reference pages equal the code."""
