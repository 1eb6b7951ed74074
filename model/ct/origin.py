"""How this software's own images are told from those of scanners."""

OWN_MANUFACTURER = "survnode"
