"""Commands that measure the pipeline; ``make bench`` runs most of them. No user of the package needs them."""
