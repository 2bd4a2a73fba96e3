package main

import (
	"context"
	"fmt"
	"strconv"
	"syscall"

	"github.com/redis/go-redis/v9"
)

var redisNeeds = needs{[]string{"redis-server"}, "apt-get install redis-server"}

// redisConnections let Redis sync once for many requests: it does so once per turn of its loop.
const redisConnections = 256

func runRedis(ctx context.Context, address, dir string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	server, err := start(prepare(nil, dir, "redis-server", "--port", strconv.Itoa(port), "--bind",
		"127.0.0.1", "--dir", dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--auto-aof-rewrite-percentage", "0", "--loglevel", "warning"))
	if err != nil {
		return err
	}
	defer server.stop(syscall.SIGTERM)
	client := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port),
		PoolSize: redisConnections})
	defer client.Close()
	if err := server.waitFor(ctx, func() error { return client.Ping(ctx).Err() }); err != nil {
		return err
	}
	return serve(ctx, address, func(ctx context.Context, body []byte) error {
		return client.XAdd(ctx, &redis.XAddArgs{Stream: "events", Values: []any{"body", body}}).Err()
	})
}
