"""The control plane in a simulated world: time, network, disks, crashes and clients from one seed. `matchmark simulate`."""
