"""Speed, measured by commands that anyone can run; never part of the tests."""
