"""The patient library: facts and posteriors of treated patients, under pseudonyms, in SQLite or PostgreSQL."""
