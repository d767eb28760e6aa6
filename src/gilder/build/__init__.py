"""One image, start to end: the recipe."""

from gilder.build.attendance import Ask, Attendance, OnError
from gilder.build.recipe import build_image
from gilder.build.site import Site
from gilder.build.story import Story
from gilder.build.work import Job, LocalWork, Workplace, on_this_machine

__all__ = [
    "Ask",
    "Attendance",
    "Job",
    "LocalWork",
    "OnError",
    "Site",
    "Story",
    "Workplace",
    "build_image",
    "on_this_machine",
]
