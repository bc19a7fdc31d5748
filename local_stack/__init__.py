"""Development only: the emulator, the stack made from `.chalice/resources.json`, the API's server and the
queue's event source, in processes of their own."""
