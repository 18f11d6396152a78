"""From a folded network to a plan: layouts, products, gates, modulus chains, the planner."""
