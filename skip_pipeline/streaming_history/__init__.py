"""Import of own listening: Spotify's Extended streaming history as raw logs in the published format."""
