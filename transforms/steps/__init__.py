"""The pure steps between reading and writing: Arrow tables in, Arrow tables out, no Beam."""
