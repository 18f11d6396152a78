"""Batches whose files lie in a store, on worker processes here or on a Dask cluster."""
