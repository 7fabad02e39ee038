"""A member of a cluster as a process: carries out on files, sockets and memory what `control` decides."""
