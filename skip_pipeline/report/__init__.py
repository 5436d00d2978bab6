"""The evaluation report: numbers, plots as PNG bytes, sentences that read them, one self-contained page.

evaluation     all of it together, as one value
leaderboard    every model on the same sessions, with intervals and paired differences
calibration    what correcting the network's probabilities did
circumstances  what slices need and no bundle holds
slices         scores on parts of the sessions
importance     what the network listens to
mistakes       its worst predictions
oracle         the best possible, for synthetic data
plots, comparison_plots, pictures    PNG bytes
readings, comparisons                sentences
page           the HTML page
"""
