"""What the process imports from which receivers are forked: all that a receiver needs, and nothing heavy.

That process does nothing else; a receiver that is forked from it answers within a tenth of the time of a new one.
"""

from survnode.node.service.light_receiver import import_nothing_heavy

import_nothing_heavy()

import survnode.node.service.receiving  # noqa: E402, F401  only now
