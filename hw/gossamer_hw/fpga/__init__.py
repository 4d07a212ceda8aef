"""Resources and clock on FPGAs, by open synthesis and place and route."""
