// Package keyindex remembers the idempotency keys of a log on this machine: which key was accepted
// when, and under which request id.
//
// The keys are durable in the records of the log, in the same commit as their events, and the index
// is made from them: it is told of each commit, keeps the newest keys in memory, and writes them to
// sorted files, so that a start reads the records from the newest file on and no more, and a
// segment may go once its keys are in a file. Removing all files loses the keys whose segments are
// gone, and nothing else.
//
//	newest keys            table, in memory
//	being written          the table before
//	older                  runs: sorted files of pages, each with a filter in memory
//	oldest                 larger runs, merged from eight small ones
//
// A lookup asks the tables, then the filters, and reads one page of a run whose filter says yes.
// Ten million keys take about 25 MB of memory, up to 61 MiB while files of them are merged, and 560 MB
// of disk.
//
// What it promises: a key whose event was committed is found until the window has passed or MaxKeys
// newer keys have come, whatever the clock and crashes do. What it does not: a run that the disk
// has damaged loses the keys of the damaged pages, which is counted and told; their requests are
// new then, because refusing them would lose events.
package keyindex
