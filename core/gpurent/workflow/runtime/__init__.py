"""What every use case stands on: durable steps, locks, plugin building, logins, mail, notifications."""
