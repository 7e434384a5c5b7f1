"""Trainings by epochs: all of them that is the same whichever framework runs the loop."""
