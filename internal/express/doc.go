// Package express is the fast way in: an event loop that reads plain POSTs, makes all that are ready durable
// with one append, and answers them.
//
// A turn of the loop is: wait for sockets, read each of them, take every request that is complete, ask the
// Acceptor once for all of them, write the answers. What arrives while the append waits for the disk is the next
// turn's, so the groups form by themselves and grow with the load. Nothing is handed from one thread to another
// in between, which would cost more than the disk does.
//
// It promises that a request is answered with 202 only after the Acceptor has said that its event is durable,
// that answers come in the order of the requests, and that a request whose end can be read in two ways is never
// taken. It answers only the simple case. Whatever else comes is handed over to net/http, with every byte that
// was read, and the connection stays there: other methods, versions, paths and encodings, TLS, batches, large
// bodies and heads lose nothing but speed. It knows no engine.
//
// The loop stands still while the Acceptor waits for the disk, and with it everything that express does,
// handing over included. A call of the Acceptor that takes longer than Options.AcceptTimeout costs the loop its goroutine and no
// more: another one goes on with the sockets, says to those who wait that the outcome of their requests is not known, and
// leaves to the one that is stuck the memory of its turn. Until then nothing is handed from one goroutine to another, so a
// disk that answers costs nothing.
//
// A panic ends the process: it would be a bug in the loop itself, and no answer of the turn could be trusted.
package express
