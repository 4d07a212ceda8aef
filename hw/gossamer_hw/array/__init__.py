"""Processing element and output-stationary array with its drain."""
