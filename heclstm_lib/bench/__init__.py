"""Our plans and the rivals, each in a process of its own, on the same cases, in one run."""
