"""Whether new data is still like the data that a model was trained on."""
