"""How good probabilities are: scores, curves, intervals, and the calibration of probabilities."""
