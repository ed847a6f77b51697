"""Things to touch, in a notebook and in the site, with no server and no other file; one module for each."""
