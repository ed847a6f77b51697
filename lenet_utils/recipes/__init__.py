"""Since then: five published recipes, what they claimed, and variations to try."""
