"""One association, from its connection to its record: bytes, PDUs, command sets, and who answers them."""
