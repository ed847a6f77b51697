"""The claims of the papers and of the five recipes, each with its measure, its tolerance and its verdict."""
