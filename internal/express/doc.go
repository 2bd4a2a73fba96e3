// Package express is the fast way in: an event loop that reads plain POSTs, makes all that are
// ready durable with one append, and answers them.
//
// It promises that a request is answered with 202 only after the Acceptor has said that its event
// is durable, that answers come in the order of the requests, and that a request whose end can be
// read in two ways is never taken. It answers only the plain case. Whatever else comes is handed
// over to net/http, with every byte that was read, and the connection stays there: other methods,
// versions, paths and encodings, batches, large bodies and heads lose nothing but speed. It knows no
// engine.
//
// A panic ends the process: it would be a bug in the loop itself, and no answer of the turn could
// be trusted.
//
// # The loop
//
// A turn of the loop does this, in this order:
//
//  1. It waits for sockets that are ready, but not where a connection is queued.
//  2. It goes on with the connections that the last turn has queued: those with more to read than
//     one turn takes.
//  3. It reads each socket that is ready, and takes every request that is complete. It looks for
//     more sockets that are ready a few times, as long as there are requests to make durable.
//  4. It asks the Acceptor once for all the requests. What arrives meanwhile is the next turn's, so
//     the groups form by themselves and grow with the load. Nothing is handed from one thread to
//     another in between, which would cost more than the disk does.
//  5. It writes the answers, all of one connection at once.
//  6. It finishes each connection that had a part in the turn: what it waits for now is its state,
//     and what has come to its end is closed, lingers or is handed over.
//  7. Now and then it ends what has waited for too long.
//
// # Who owns what
//
// One goroutine owns a loop, and with it all its connections, their sockets and their buffers.
// Nothing of them is locked. The requests of a turn point into the buffers that they were read
// into, which is why the Acceptor may keep nothing of them: the next turn writes over it.
//
// The loop stands still while the Acceptor waits for the disk, and with it everything that express
// does, handing over included. A call of the Acceptor that takes longer than Options.AcceptTimeout
// costs the loop its goroutine and no more: another one goes on with the sockets, says to those who
// wait that the outcome of their requests is not known, and leaves to the one that is stuck the
// memory of its turn; late_linux.go says how. Until then nothing is handed from one goroutine to
// another, so a disk that answers costs nothing.
//
// What stands before HTTP (a header of the PROXY protocol, a handshake of TLS) waits for its client,
// so it has a goroutine, which owns the connection until the loop gets it through its inbox, or
// net/http where the client wants HTTP/2. From then on TLS is read and written without waiting:
// conn.read decrypts what the socket has, and write encrypts into a buffer of the loop. No state
// knows of it.
//
// There are three locks:
//
//   - inbox.mu guards what others have for a loop: the connections that are pending, and whether it
//     has ended. Whoever holds it wakes the loop up, and does nothing else.
//   - Server.mu guards whether the server was started and closed. It is never held over a call.
//   - handed.mu guards the connections that wait for net/http. The loop takes it for as long as an
//     append to a slice takes; net/http waits on its condition. Where nobody accepts any more,
//     connections are closed under it, which wakes the loops up: so inbox.mu may be taken under
//     handed.mu, and no other lock under another one.
//
// What all loops count (connections, memory, addresses) is atomic or has a lock in package
// admission.
//
// # The states of a connection
//
// A connection has one state. It says what the connection waits for, or what becomes of it once its
// answers are written:
//
//	fresh            nothing of its first request is there; its time runs since it was accepted
//	first head       a part of its first head is there, and its time goes on
//	idle             between two requests
//	head             a part of a head is there
//	body             a head and a part of its body are there
//	answering        the turn answers it; what else is there is seen at the end of the turn
//	backlog          it has sent more requests than the turn takes; the next one goes on
//	writing          its client does not read its answers fast enough, so it is not read either
//	close after      once its answers are written, it is closed
//	linger after     once its answers are written, it lingers
//	hand over after  once its answers are written, it is handed over
//	lingering        what the client still sends is read for a while, and forgotten
//	broken           its socket has failed, so it is closed at the end of the turn
//	handed over      net/http has it
//	closed
//
// Answering and broken are states within a turn: no connection waits in them. What happens to a
// connection is one of these events:
//
//	request       a complete request was taken
//	last          and it says that no other one follows
//	full          there may be another one, and the turn takes no more
//	resumed       the next turn goes on with it
//	blocked       not all answers could be written
//	written       now they could
//	nothing left  at the end of the turn nothing of a further request is there
//	head left     a part of a head is
//	body left     a head and a part of its body are
//	refused       the request is answered with an error, and none is read after it
//	unusual       the request is one for net/http
//	ended         the client has ended its side, and all of it was read
//	drained       the server drains, and nothing of a request is there
//	drained late  the server drains since the turn has begun, or will, and the next request may be there
//	linger        our side was ended
//	hand over     net/http gets it
//	failed        nothing can be read or written any more
//	closed        its end has come, or its time; another one needs its place; the server stops
//
// The table of transitions: the state, the one that follows, and the events that lead there. Any
// other is a bug, and panics. The tests hold this table to the one in state_linux.go, and make
// every transition of it.
//
//	fresh            fresh            nothing left
//	                 first head       head left
//	                 body             body left
//	                 answering        request
//	                 close after      ended
//	                 linger after     refused
//	                 hand over after  unusual
//	                 broken           failed
//	                 closed           closed
//	first head       fresh            nothing left
//	                 first head       head left
//	                 body             body left
//	                 answering        request
//	                 close after      ended, drained
//	                 linger after     refused
//	                 hand over after  unusual
//	                 broken           failed
//	                 closed           closed
//	idle             idle             nothing left
//	                 head             head left
//	                 body             body left
//	                 answering        request
//	                 close after      ended, drained
//	                 linger after     refused
//	                 hand over after  unusual
//	                 broken           failed
//	                 closed           closed
//	head             idle             nothing left
//	                 head             head left
//	                 body             body left
//	                 answering        request
//	                 backlog          full
//	                 close after      ended, drained
//	                 linger after     refused
//	                 hand over after  unusual
//	                 broken           failed
//	                 closed           closed
//	body             body             body left
//	                 answering        request
//	                 close after      ended
//	                 linger after     refused
//	                 broken           failed
//	                 closed           closed
//	answering        idle             nothing left
//	                 head             head left
//	                 body             body left
//	                 answering        request
//	                 backlog          full
//	                 writing          blocked
//	                 close after      last, ended, drained
//	                 linger after     refused, drained late
//	                 hand over after  unusual
//	                 broken           failed
//	                 closed           closed
//	backlog          head             resumed
//	                 linger after     refused
//	                 broken           failed
//	                 closed           closed
//	writing          answering        written
//	                 broken           failed
//	                 closed           closed
//	close after      broken           failed
//	                 closed           closed
//	linger after     lingering        linger
//	                 broken           failed
//	                 closed           closed
//	hand over after  linger after     refused
//	                 broken           failed
//	                 handed over      hand over
//	                 closed           closed
//	lingering        broken           failed
//	                 closed           closed
//	broken           closed           closed
//
// Beside the state stand facts that are none: what is known of the bytes that the socket still
// holds (input), and the lists of the loop that the connection is in: those that have a part in
// this turn, and those that are queued for the next one. A connection may be in both: its answers
// of this turn have to stand together, so what comes in the middle of it has to wait.
package express
