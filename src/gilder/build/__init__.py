"""One image, start to end: the recipe."""

from gilder.build.recipe import build_image
from gilder.build.site import Site
from gilder.build.story import Story

__all__ = ["Site", "Story", "build_image"]
