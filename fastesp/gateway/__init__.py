"""The daemon: IKE, a data plane, configuration and VICI bound together over asyncio."""
