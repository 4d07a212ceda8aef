"""What runs it: an architecture becomes Amaranth, Verilog and a Verilated executor."""
