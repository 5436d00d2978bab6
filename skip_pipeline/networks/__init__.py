"""The networks, one file each; ``presets`` maps names to them."""
