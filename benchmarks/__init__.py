"""One module for each benchmark; ``make bench NAME=hull`` runs one and writes its results."""
