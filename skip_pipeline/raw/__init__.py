"""Delivered files: what a folder holds, reading a CSV, saying what is wrong with it, and both raw tables."""
