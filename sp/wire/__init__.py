"""Protobuf <-> domain. Generated types stop here, at the services' rpc.py and at their client.py."""
