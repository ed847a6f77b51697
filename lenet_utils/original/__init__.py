"""The 1998 machine: LeNet-5 as it was published, and how it learned."""
