// Package torture breaks a pillarbox on purpose, and counts what it had promised against what is
// left.
//
// It runs a real binary on a real directory, has clients post to it who remember what they were
// told, and breaks it in the middle: Kill ends the process with SIGKILL, DiskFull takes the last
// byte of its disk, PowerCut takes a whole file system away from under it. Then everything is
// delivered, and the receipts are compared with the database and the dead letters, event by event
// and byte by byte.
//
// What each run proves: Kill, that the logic of starting again is right, and nothing about syncing,
// because the page cache survives a process; DiskFull, that nothing is acknowledged that does not
// fit, and that the service goes on by itself; PowerCut, that what was acknowledged had been
// synced, as far as the file system tells the truth. A disk that acknowledges flushes which it did
// not do can't be seen from here.
//
// Every run draws from a seed, reports what it has really done, and fails if that was too little.
package torture
