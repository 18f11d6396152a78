"""CKKS: parameters, packing, plan, the three execution modes, client and server."""
