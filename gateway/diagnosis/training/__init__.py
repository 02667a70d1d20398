"""Datasets, fitting, evaluation; imported by nobody at run time."""
