"""The store over HTTP: OPTIMADE for everyone, REST for uploads, proofs and mirrors."""
