"""The commands, one file each: parse, call, print."""

from attnlab.startup import spare

spare()
