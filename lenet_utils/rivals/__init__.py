"""Rivals of 1998, the other classifiers of its comparison; and what digits that move, tear and fade do to all."""
