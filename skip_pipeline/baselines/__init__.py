"""Predictors without a network: their features, their fits, and their predictions as files."""
