"""How many machines, hours, bytes and how much money a number of encrypted sequences takes."""
