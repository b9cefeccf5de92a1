"""The patient library on the command line: filling it from folders, and comparing a patient with it."""
