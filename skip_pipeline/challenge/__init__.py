"""The challenge's own task: every track of a session's second half, as a submission and its scores."""
