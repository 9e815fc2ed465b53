"""Dumps: tables and registers of a machine in a file, and what can be seen in them."""
from .capture import capture
from .format import Dump, DumpError, load, save
from .views import View, views_of

__all__ = ["Dump", "DumpError", "View", "capture", "load", "save", "views_of"]
