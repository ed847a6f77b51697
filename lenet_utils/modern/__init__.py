"""LeNet-5 of today: how its recipe was chosen, what it reaches, and what pooling does for shifted digits."""
