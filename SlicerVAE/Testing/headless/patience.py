"""How patient the tests are with what has to be over at once."""

# A second on a quiet machine, which `slicervae benchmark engine` measures. Tests run beside others, and what they tell
# it from, work that goes on or waits for an end, takes tens of seconds.
AT_ONCE_S = 3.0
