"""What `gpurent plugin check` examines: a plugin as it is installed, without the Internet and without money."""
