"""Parts of the machine as modules of their own, between AXI4-Stream ports."""
