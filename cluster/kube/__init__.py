"""Kubernetes as the place where a run's parts live: the API, tunnels, files, pods and crashes."""
