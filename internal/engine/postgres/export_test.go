package postgres

// Bodies are those of the tests.
var Bodies = bodies
