"""The networks, a file each; ``presets`` says which one a name stands for."""
