"""What a person sees: run results become tables, plots and timelines."""
