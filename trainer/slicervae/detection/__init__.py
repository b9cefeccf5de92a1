"""How well anomaly maps find what is truly there."""
