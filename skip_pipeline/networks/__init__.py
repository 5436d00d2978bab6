"""The networks, one file each, and the table that names them; training them is ``flow.train``'s affair."""
