"""Crystals as columns: batch, files, symmetry, neighbours, fingerprints, prototypes."""
