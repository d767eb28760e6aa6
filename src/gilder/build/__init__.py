"""One image, start to end: the recipe."""
