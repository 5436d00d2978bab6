"""The evaluation report and the promotion page: results as values, as sentences, as plots, as HTML."""
