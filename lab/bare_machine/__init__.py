"""Follows docs/bare-machine.md, command by command, on a Debian machine of its own."""
