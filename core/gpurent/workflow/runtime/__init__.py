"""The foundation of all use cases: durable steps, locks, plugins, logins, e-mail, notifications."""
