"""Figures of models, drawn for print: one file an idea, each with ``draw`` that returns a Matplotlib figure."""
