"""The evaluation report: plots as PNG bytes, sentences that read them, and one self-contained page."""
