"""The signed, append-only log: Merkle tree, checkpoints, keys and proofs."""
