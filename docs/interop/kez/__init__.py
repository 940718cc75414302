"""The kez-chat protocol, version 1, read from docs/PROTOCOL.md. Section numbers (§) are that document's."""
