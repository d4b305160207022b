"""`make containers`: what docker/ describes is started in containers, disturbed and taken down."""
