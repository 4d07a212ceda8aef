"""Networks from files that other tools write."""
