"""LeNet-5's relatives: the zip-code network of 1989 and LeNet-1, and what the papers report of them."""
