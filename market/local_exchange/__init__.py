"""The local exchange: a server speaking Binance's public REST and stream protocol, with faults."""
