package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The wrapper in /usr/sbin changes the user; the script itself does not.
var rabbitNeeds = needs{[]string{"/usr/lib/rabbitmq/bin/rabbitmq-server", "epmd"},
	"apt-get install rabbitmq-server"}

// rabbitChannels share one connection: one channel alone is a bottleneck.
const rabbitChannels = 16

func runRabbit(ctx context.Context, address, dir string) error {
	url, stop, err := startRabbit(ctx, dir)
	if err != nil {
		return err
	}
	defer stop()
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer conn.Close()
	channels := make(chan *amqp.Channel, rabbitChannels) // the free ones
	for i := range rabbitChannels {
		channel, err := conn.Channel()
		if err != nil {
			return err
		}
		if i == 0 {
			_, err = channel.QueueDeclare("events", true, false, false, false,
				amqp.Table{"x-queue-type": "quorum"})
		}
		if err := errors.Join(err, channel.Confirm(false)); err != nil {
			return err
		}
		channels <- channel
	}
	return serve(ctx, address, func(ctx context.Context, body []byte) error {
		channel := <-channels
		confirmation, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", "events", true,
			false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: body})
		channels <- channel // the confirmation comes by itself
		if err != nil {
			return err
		}
		if ok, err := confirmation.WaitContext(ctx); err != nil || !ok {
			return errors.Join(err, errors.New("the broker did not take it"))
		}
		return nil
	})
}

// startRabbit starts a broker with a port mapper of its own, because the usual one would outlive
// it.
func startRabbit(ctx context.Context, dir string) (url string, stop func(), err error) {
	ports, err := freePorts(3)
	if err != nil {
		return "", nil, err
	}
	mapper := fmt.Sprint(ports[0])
	epmd, err := start(prepare(nil, dir, "epmd", "-port", mapper, "-address", "127.0.0.1"))
	if err != nil {
		return "", nil, err
	}
	cmd := prepare(nil, dir, rabbitNeeds.programs[0])
	plugins := filepath.Join(dir, "enabled_plugins")
	if err := os.WriteFile(plugins, []byte("[].\n"), 0o600); err != nil {
		epmd.stop(syscall.SIGKILL)
		return "", nil, err
	}
	cmd.Env = append(os.Environ(),
		"HOME="+dir, "ERL_EPMD_PORT="+mapper, "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_NODENAME=bench"+mapper+"@localhost", "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", fmt.Sprintf(
			"RABBITMQ_NODE_PORT=%d", ports[1]), fmt.Sprintf("RABBITMQ_DIST_PORT=%d", ports[2]),
		"RABBITMQ_MNESIA_BASE="+dir, "RABBITMQ_LOG_BASE="+dir, "RABBITMQ_LOGS=-", "RABBITMQ_ENABLED_PLUGINS_FILE="+plugins, "RABBITMQ_CONF_ENV_FILE=/dev/null",
		// Schedulers that wait in a loop would take the processor from others.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none")
	broker, err := start(cmd)
	if err != nil {
		epmd.stop(syscall.SIGKILL)
		return "", nil, err
	}
	stop = func() {
		broker.stop(syscall.SIGTERM)
		epmd.stop(syscall.SIGKILL)
	}
	url = fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", ports[1])
	if err := broker.waitFor(ctx, listening("tcp",
		strings.TrimSuffix(strings.TrimPrefix(url, "amqp://guest:guest@"), "/"))); err != nil {
		stop()
		return "", nil, err
	}
	return url, stop, nil
}
