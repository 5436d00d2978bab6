"""Decisions of a night: drift of the new data, promotion of the new model, shards in the training window."""
