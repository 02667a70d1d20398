"""Fitting the language models; imported by nobody at run time."""
