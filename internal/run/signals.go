package run

import (
	"context"
	"os"
	"os/signal"
	"sync"
)

// Signals returns the two contexts that Group.Run takes: the first signal ends stop, the second one
// ends force. Any further one meets the default of the operating system, which ends the process: a
// service that hangs can't keep anybody waiting. release gives the signals back, and must be
// called; it may be called twice.
func Signals(signals ...os.Signal) (stop, force context.Context, release func()) {
	stop, endStop := context.WithCancel(context.Background())
	force, endForce := context.WithCancel(context.Background())
	received := make(chan os.Signal, 2) // the two that count must not be missed
	signal.Notify(received, signals...)
	released := make(chan struct{})

	var waiting sync.WaitGroup
	waiting.Go(func() {
		for _, end := range []func(){endStop, endForce} {
			select {
			case <-received:
				end()
			case <-released:
				return
			}
		}
		signal.Stop(received)
	})
	release = sync.OnceFunc(func() {
		signal.Stop(received)
		close(released)
		waiting.Wait()
		endStop()
		endForce()
	})
	return stop, force, release
}
