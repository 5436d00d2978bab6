"""Tests of the synthetic listening world."""
