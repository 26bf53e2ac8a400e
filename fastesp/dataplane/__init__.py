"""Where packets go: values and Protocol in :mod:`.base`, one module for each kind of data plane."""
