"""How long it takes: a program becomes cycles and traffic."""
