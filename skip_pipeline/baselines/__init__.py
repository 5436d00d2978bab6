"""Baselines: two rules, and two models on hand-made features."""
