"""What a night decides: which data it learns from, what has drifted, and which model serves."""
