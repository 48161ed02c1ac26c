"""A whole rental world on this computer: portals, mail, machines, one clock."""
