package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

var telegrafNeeds = needs{[]string{"telegraf"},
	"put a telegraf binary on the PATH (https://github.com/influxdata/telegraf/releases); Debian has none"}

const telegrafConfig = `[agent]
	flush_interval = "1s"
	metric_batch_size = 1000
	metric_buffer_limit = 10000000
	omit_hostname = true
[[inputs.http_listener_v2]]
	service_address = "tcp://%s"
	paths = ["/app"]
	data_format = "value"
	data_type = "string"
[[outputs.file]]
	files = ["%s/out"]
`

func runTelegraf(ctx context.Context, address, dir string) error {
	file := filepath.Join(dir, "telegraf.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, telegrafConfig, address, dir), 0o600); err != nil {
		return err
	}
	server, err := start(prepare(nil, dir, "telegraf", "--config", file, "--quiet"))
	if err != nil {
		return err
	}
	defer server.stop(syscall.SIGTERM)
	return server.untilEnd(ctx)
}
