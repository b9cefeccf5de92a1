"""The Engine protocol in a separate process, so that no window ever waits for torch."""
