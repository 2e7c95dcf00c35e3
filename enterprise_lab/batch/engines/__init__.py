"""Where attempts are made: this machine, or a cluster."""
