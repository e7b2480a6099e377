"""The networks and the classical models behind one interface, a folder a family."""
