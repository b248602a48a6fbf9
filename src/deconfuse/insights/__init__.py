"""Tables to findings: each module answers one question in numbers, `findings` words the answers."""
