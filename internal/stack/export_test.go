package stack

// Protected is what destroy unprotects.
var Protected = protected
