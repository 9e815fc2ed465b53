"""Where things stand in a world, and how much of them there may be."""

LIMIT = 1 << 41  # of guest physical addresses
# Places where guests have memory: the same in each, the host's own addresses and the last among them.
ZONES = (0, 0x1000_0000, 0x3ff0_0000, 0x8000_0000, 0x1_0000_0000, LIMIT - (4 << 20))
RIGHTS = ("r", "rw", "rx", "rwx", "x")
MOST_GUESTS, MOST_PAGES = 3, 3000

WINDOW, FILES = 0x2_8000_0000, 8  # MSIs: the same pages in each guest, one a file
FILE_BASE = 0x2800_0000           # interrupt files, none of them at those addresses
