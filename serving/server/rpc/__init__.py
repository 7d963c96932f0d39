"""The gRPC side: services, health, TLS, ports and Unix sockets."""
