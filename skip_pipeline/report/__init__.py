"""Evaluation report and promotion page: results as values, as sentences, as plots, as HTML.

evaluation           everything the report shows, as one value
leaderboard          every model on the same sessions, with intervals and paired differences
calibration_effect   scores before and after calibration
session_attributes   attributes of test sessions that no bundle holds
slices               scores on parts of the test sessions
importance           permutation importance of the network's inputs
mistakes             the worst predictions
oracle               the best possible score, for synthetic data
sentences            the results in words
plots, model_plots, drift_plots              PNG bytes and their captions
html, report_page, promotion_page            the pages
"""
