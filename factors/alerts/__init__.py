"""Alerts: rules about facts and prices, an outbox of what they found, webhooks and a stream."""
