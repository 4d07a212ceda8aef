"""How to run it: a network, a method and an architecture become a program."""
