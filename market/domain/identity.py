"""Which installation a store belongs to, and which generation of the store it is."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

ID_BYTES = 8


def random_id() -> str:
    """A new random id: 16 hexadecimal digits."""
    return secrets.token_hex(ID_BYTES)


@dataclass(frozen=True, slots=True)
class Identity:
    """The id of the installation, and the generation of its store.

    The id is part of every name outside the store: keys, channels, groups, queues. The generation
    changes when the past may have changed without the epochs showing it, as after a restore.
    """

    installation_id: str
    generation: str

    @staticmethod
    def random() -> Identity:
        """The identity of a store that was just created."""
        return Identity(random_id(), random_id())
