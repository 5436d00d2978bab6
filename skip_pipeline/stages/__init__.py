"""From raw files to tensors: what each stage makes of a shard, how shards add up, and the checks of each."""
