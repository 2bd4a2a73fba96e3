module pillarbox

go 1.26
