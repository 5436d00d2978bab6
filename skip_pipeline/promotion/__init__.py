"""Which model serves: how a challenger takes the champion's place."""
